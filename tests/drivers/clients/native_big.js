// pg on pg-native: fifty clients, five hundred questions at once, each answer checked. By the question's number most
// are plain, some sleep, some are transactions, errors, or are cancelled.
const { native } = require('pg')
const { execFileSync } = require('child_process')
const CLIENTS = 50
const QUESTIONS = 500

const answer = async (client, text, ...values) => (await client.query(text, values)).rows[0].tag

// What came of question n. A client does its questions in their order, so a transaction is sent as a whole.
const ask = async (client, n) => {
  const tag = `client ${n % CLIENTS}, question ${n}`
  const kind = Math.floor(n / CLIENTS)
  if (kind === 1 || kind === 2) {
    return ['slept', await answer(client, 'SELECT $1::text AS tag, pg_sleep($2)', tag, 0.01 + (n % 5) * 0.01) === tag]
  }
  if (kind === 3) {
    const parts = [client.query('BEGIN'), answer(client, 'SELECT $1::text AS tag', tag), answer(client, 'SELECT $1::text AS tag', tag + '+'),
      client.query('COMMIT')]
    const [, first, second] = await Promise.all(parts)
    return ['transaction', first === tag && second === tag + '+']
  }
  if (kind === 4) {
    const failed = await answer(client, 'SELECT $1::text AS tag, 1 / 0', tag).catch((error) => error.code)
    return ['error', failed === '22012' && await answer(client, 'SELECT $1::text AS tag', tag) === tag]
  }
  if (kind === 5 && n % 5 === 0) {
    const query = new native.Query('SELECT $1::text AS tag, pg_sleep(20)', [tag])
    const stopped = new Promise((resolve) => {
      query.once('error', (error) => resolve(error.code))
      query.once('end', () => resolve('was not cancelled'))
    })
    client.query(query)
    const timer = setInterval(() => { if (query.state === 'running') client.cancel(query) }, 5)
    const code = await stopped
    clearInterval(timer)
    return ['cancelled', code === '57014' && await answer(client, 'SELECT $1::text AS tag', tag) === tag]
  }
  if (kind === 6) return ['wide', await answer(client, 'SELECT repeat($1, 2000) AS tag', tag) === tag.repeat(2000)]
  return ['plain', await answer(client, 'SELECT $1::text AS tag', tag) === tag]
}

const main = async () => {
  const clients = Array.from({ length: CLIENTS }, () => new native.Client({ connectionString: 'postgresql:///' }))
  await Promise.all(clients.map((client) => client.connect()))
  const came = await Promise.all(Array.from({ length: QUESTIONS }, (_, n) => ask(clients[n % CLIENTS], n)))
  execFileSync(process.env.BACKENDS)
  const counts = {}
  for (const one of came) counts[one] = (counts[one] || 0) + 1
  console.log(counts)
  await Promise.all(clients.map((client) => client.end()))
}
main().catch((error) => { console.log(error); process.exit(1) })
