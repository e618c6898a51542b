// tables.js: makes the report's tables sortable. Without it they are read as they were written.
(() => {
    const key = cell => {
        const value = cell.dataset.value ?? cell.textContent.trim();
        const number = Number(value);
        return value !== '' && !Number.isNaN(number) ? number : value.toLowerCase();
    };
    const compare = (a, b) =>
        typeof a === typeof b ? (a < b ? -1 : a > b ? 1 : 0) : typeof a === 'number' ? -1 : 1;

    const sort = (table, column, descending) => {
        const body = table.tBodies[0];
        const rows = Array.from(body.rows, row => ({ row, key: key(row.cells[column]) }));
        rows.sort((a, b) => (descending ? compare(b.key, a.key) : compare(a.key, b.key)));
        for (const { row } of rows) body.append(row);
    };

    // On paper nobody can unfold a stack.
    const stacks = document.querySelectorAll('details');
    addEventListener('beforeprint', () => { for (const stack of stacks) stack.open = true; });
    addEventListener('afterprint', () => { for (const stack of stacks) stack.open = false; });

    for (const table of document.querySelectorAll('table.sortable')) {
        const heads = Array.from(table.tHead.rows[0].cells);
        heads.forEach((head, column) => {
            const button = document.createElement('button');
            button.type = 'button';
            button.append(...head.childNodes);
            head.append(button);
            button.addEventListener('click', () => {
                // Numbers are asked for because of the large ones; a second click turns the order around.
                const before = head.getAttribute('aria-sort');
                const descending = before ? before === 'ascending' : head.classList.contains('number');
                for (const other of heads) other.removeAttribute('aria-sort');
                head.setAttribute('aria-sort', descending ? 'descending' : 'ascending');
                sort(table, column, descending);
            });
        });
    }
})();
