// pg-native by itself: eight clients connected in libuv's pool, used at once on the main thread; copies, cancels, errors.
const Client = require('pg-native')
const { execFileSync } = require('child_process')
const { promisify } = require('util')

const clients = Array.from({ length: 8 }, () => new Client())
const query = (client, ...words) => promisify(client.query.bind(client))(...words)
const code = (promise) => promise.then(() => 'no error', (error) => error.message.trim())

const copyIn = (client, i) => new Promise((resolve, reject) => {
  client.querySync('COPY copied FROM STDIN')
  const stream = client.getCopyStream()
  stream.once('error', reject)
  for (let j = 0; j < 500; j++) stream.write(Buffer.from(`${i}\tline ${j}\n`))
  stream.end((error) => (error ? reject(error) : resolve()))
})
const copyOut = (client, i) => new Promise((resolve, reject) => {
  client.querySync(`COPY (SELECT ${i}, name FROM copied) TO STDOUT`)
  let text = ''
  const stream = client.getCopyStream()
  stream.on('data', (piece) => { text += piece })
  stream.once('error', reject)
  stream.once('end', () => resolve(text.split('\n').filter((line) => line.startsWith(`${i}\t`)).length))
})

const main = async () => {
  await Promise.all(clients.map((client) => promisify(client.connect.bind(client))('')))
  console.log(clients.map((client, i) => client.querySync('SELECT $1::int * 7 AS answer', [i])[0].answer))
  clients[0].querySync('DELETE FROM copied')
  for (let round = 0; round < 5; round++) {
    const came = await Promise.all(clients.map((client, i) => query(client, 'SELECT $1::text AS tag, pg_sleep(0.004)', [`${i}/${round}`])))
    console.log(came.filter(([row], i) => row.tag === `${i}/${round}`).length)
  }
  console.log(await Promise.all(clients.map((client, i) => code(query(client, i % 2 ? 'SELECT 1 / 0' : 'SELECT 1')))))
  await copyIn(clients[0], 0) // what may call nextval keeps its connection
  console.log(clients[7].querySync('SELECT owner, count(*)::int AS lines FROM copied GROUP BY owner ORDER BY owner'))
  // Cancelled while they run, or while they wait.
  console.log(await Promise.all(clients.map((client) => {
    const stopped = code(query(client, 'SELECT pg_sleep(20)'))
    setTimeout(() => client.cancel(() => {}), 50)
    return stopped
  })))
  console.log((await Promise.all(clients.map((client, i) => query(client, 'SELECT $1::text AS tag', [`${i}`])))).map(([row]) => row.tag))
  execFileSync(process.env.BACKENDS)
  for (const [i, client] of clients.slice(0, 2).entries()) console.log(await copyOut(client, i))
  await Promise.all(clients.map((client) => promisify(client.end.bind(client))()))
}
main().catch((error) => { console.log(error); process.exit(1) })
