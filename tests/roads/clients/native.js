// Three connections at once by pg-native itself: blocking, in libuv's pool, and queries of either kind.
const Client = require('pg-native')
const open = [new Client(), new Client(), new Client()]
const then = (i) => {
  if (i === 3) {
    console.log(open.map((client, j) => client.querySync('SELECT $1::int * 7 AS answer', [j])[0].answer))
    return open.forEach((client) => client.end())
  }
  open[i].connect('', (error) => {
    if (error) throw error
    open[i].query("SELECT current_setting('application_name') AS name", (failed, rows) => {
      if (failed) throw failed
      console.log(rows)
      then(i + 1)
    })
  })
}
open[0].connectSync('')
console.log(open[0].querySync('SELECT 1 AS one'))
then(1)
