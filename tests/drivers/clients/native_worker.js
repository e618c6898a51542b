// pg-native in a worker thread. Its addon can be loaded by one thread only, and its event loop is always the main
// thread's, so the worker asks in blocking calls. It ends with six clients open, one of them inside a transaction.
const { Worker, isMainThread, parentPort } = require('worker_threads')
const { execFileSync } = require('child_process')

const work = () => {
  const Client = require('pg-native')
  const clients = Array.from({ length: 6 }, () => new Client())
  clients.forEach((client) => client.connectSync(''))
  let right = 0
  for (let round = 0; round < 15; round++) {
    for (const [i, client] of clients.entries()) {
      right += client.querySync('SELECT $1::text AS tag', [`${i}/${round}`])[0].tag === `${i}/${round}`
    }
  }
  execFileSync(process.env.BACKENDS)
  clients[0].querySync('BEGIN')
  clients[0].querySync("UPDATE kept SET name = 'never seen'")
  parentPort.postMessage(right)
}

if (isMainThread) {
  const worker = new Worker(__filename)
  worker.on('message', (right) => console.log(right))
  worker.on('error', (error) => console.log(error))
  worker.on('exit', (code) => console.log('the worker ended', code))
} else {
  work()
}
