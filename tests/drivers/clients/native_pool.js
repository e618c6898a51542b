// pg's Pool on pg-native, three pools as a hot-reloaded module leaves them: fifteen clients, two hundred requests.
const { native } = require('pg')
const { execFileSync } = require('child_process')

const main = async () => {
  const pools = [0, 1, 2].map(() => new native.Pool({ connectionString: 'postgresql:///', max: 5 }))
  const request = async (n) => {
    const pool = pools[n % 3]
    if (n % 10) return (await pool.query('SELECT $1::text AS tag, pg_sleep(0.002)', [`${n}`])).rows[0].tag === `${n}`
    const client = await pool.connect()
    try {
      await client.query('BEGIN')
      const { rows } = await client.query('SELECT $1::text AS tag', [`${n}`])
      await client.query('ROLLBACK')
      return rows[0].tag === `${n}`
    } finally {
      client.release()
    }
  }
  const came = await Promise.all(Array.from({ length: 200 }, (_, n) => request(n)))
  console.log(came.filter((right) => right).length, pools.map((pool) => pool.totalCount))
  execFileSync(process.env.BACKENDS)
  await Promise.all(pools.map((pool) => pool.end()))
}
main().catch((error) => { console.log(error); process.exit(1) })
