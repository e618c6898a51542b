// Three clients at once by pg, on pg-native.
const { native } = require('pg')
const main = async () => {
  const open = [0, 1, 2].map(() => new native.Client({ connectionString: 'postgresql:///' }))
  for (const client of open) await client.connect()
  const answers = await Promise.all(open.map((client, i) => client.query('SELECT $1::int * 7 AS answer', [i])))
  console.log(answers.map((answer) => answer.rows[0].answer))
  for (const client of open) await client.end()
}
main()
