// The gateway seen by node-postgres. suite.py says what the environment holds; NODE_MODULES is where the
// driver is installed. One line per check: `ok NAME` or `FAIL NAME: reason`.
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import net from 'node:net'
import { Readable } from 'node:stream'
import { pipeline as pump } from 'node:stream/promises'
import { setTimeout as pause } from 'node:timers/promises'

const require = createRequire(process.env.NODE_MODULES + '/')
const pg = require('pg')
const Cursor = require('pg-cursor')
const { from: copyFrom, to: copyTo } = require('pg-copy-streams')

const env = process.env
const [ALICE, BOB, CAROL] = [env.URL_ALICE, env.URL_BOB, env.URL_CAROL]
const POOL_SIZE = Number(env.POOL_SIZE)
const DIRECT = POOL_SIZE === 0
const RUN = env.RUN
const ONLY = (env.ONLY ?? '').split(' ').filter(Boolean)
const CLIENTS = JSON.parse(readFileSync(env.CLIENTS_FILE, 'utf8'))
const COPY_ROWS = 100_000
const BIG = 64 * 1024 * 1024
const TURNS = 5
const SECONDS = 60
const WHO = { alice: 'authenticated|alice|acme', bob: 'authenticated|bob|globex' }

const md5 = (text) => createHash('md5').update(text).digest('hex')
const copyLine = (n) => `row ${n} é中 of ${RUN}`

function copyChecksum() {
  const digest = createHash('md5')
  for (let n = 0; n < COPY_ROWS; n++) digest.update(copyLine(n))
  return digest.digest('hex')
}

function equal(got, expected, what = '') {
  const [a, b] = [JSON.stringify(got), JSON.stringify(expected)]
  if (a !== b) throw new Error(`${what}: expected ${b}, got ${a}`.slice(0, 500))
}

async function connected(url, work, more = {}) {
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 60_000, ...more })
  client.on('error', () => {})
  await client.connect()
  try {
    return await work(client)
  } finally {
    await client.end()
  }
}

async function value(client, query, values) {
  const { rows } = await client.query(typeof query === 'string' ? { text: query, values, rowMode: 'array' } : { ...query, rowMode: 'array' })
  return rows[0][0]
}

async function fails(promise, code, what = '') {
  let got
  try {
    got = await promise
  } catch (error) {
    if (error.code !== code) throw new Error(`${what}: expected ${code}, got ${error.code} ${error.message}`)
    return error
  }
  throw new Error(`${what}: expected ${code}, got ${JSON.stringify(got?.rows)}`)
}

const checks = {
  async login() {
    for (const [url, who] of [[ALICE, WHO.alice], [BOB, WHO.bob]])
      await connected(url, async (client) => equal(await value(client, 'SELECT who()'), who))
  },

  async bad_tokens() {
    if (DIRECT) return
    await fails(connected(env.URL_FOREIGN, () => {}), '28P01', 'foreign')
    const error = await fails(connected(env.URL_EXPIRED, () => {}), '28P01', 'expired')
    if (!error.message.includes('expired')) throw new Error(`the refusal does not say why: ${error.message}`)
  },

  async rows() {
    const expected = { [ALICE]: ['alice one', 'alice two'], [BOB]: ['bob one', 'bob three', 'bob two'], [CAROL]: ['carol one'] }
    for (const [url, titles] of Object.entries(expected))
      await connected(url, async (client) => {
        const { rows } = await client.query('SELECT title FROM todos ORDER BY title')
        equal(rows.map((row) => row.title), titles)
      })
  },

  async parameters() {
    const values = [42, '-1099511627776', 1.5, '12345678901234567890.123', true, null, "it's é中😀", '{"a": 1}', [1, 2, 3], ['a', 'b"c']]
    const types = ['int', 'bigint', 'float8', 'numeric', 'bool', 'text', 'text', 'text', 'int[]', 'text[]']
    await connected(ALICE, async (client) => {
      const text = 'SELECT ' + types.map((type, n) => `$${n + 1}::${type} AS c${n}`).join(', ')
      const { rows, fields } = await client.query({ text, values, rowMode: 'array' })
      equal(rows[0], values)
      equal(fields.length, values.length)
      const bytes = Buffer.from([0, 255, 92, 98])
      equal([...(await value(client, 'SELECT $1::bytea', [bytes]))], [...bytes])
      const when = new Date('2024-02-29T12:30:15.123Z')
      equal(await value(client, 'SELECT $1::timestamptz', [when]), when)
      const many = Array.from({ length: 300 }, (_, n) => String(n))
      equal(await value(client, 'SELECT array_to_string(ARRAY[' + many.map((_, n) => `$${n + 1}::text`).join() + "], '')", many), many.join(''))
      const binary = await client.query({ text: 'SELECT $1::int AS n', values: [7], binary: true })
      equal(binary.rows[0].n, 7, 'binary')
    })
  },

  async prepared_across_transactions() {
    const query = { name: 'pid', text: 'SELECT pg_backend_pid() + $1::int - 1', values: [1] }
    await connected(ALICE, async (client) => {
      let pid
      for (let n = 0; n < 5; n++) pid = await value(client, query)
      if (POOL_SIZE <= 1) return
      const holders = []
      try {
        for (;;) {
          if (holders.length === POOL_SIZE - 1) throw new Error('the pool never gave the first server connection out again')
          const holder = new pg.Client(BOB)
          await holder.connect()
          holders.push(holder)
          await holder.query('BEGIN')
          if ((await value(holder, 'SELECT pg_backend_pid()')) === pid) break
        }
        if ((await value(client, query)) === pid) throw new Error('the same server connection, although it was taken')
      } finally {
        for (const holder of holders) await holder.end()
      }
    })
  },

  async prepared_names_are_private() {
    await connected(ALICE, (alice) =>
      connected(BOB, async (bob) => {
        for (let turn = 0; turn < 10; turn++) {
          equal(await value(alice, { name: 'same', text: "SELECT 'alice' || $1::text || who()", values: [turn] }), `alice${turn}${WHO.alice}`)
          equal(await value(bob, { name: 'same', text: "SELECT 'bob' || $1::text || who()", values: [turn] }), `bob${turn}${WHO.bob}`)
        }
      }))
  },

  async error_and_recovery() {
    await connected(ALICE, async (client) => {
      for (const [sql, code] of [['SELECT 1/0', '22012'], ['SELEC 1', '42601'], ['SELECT * FROM no_such_table', '42P01']]) {
        await fails(client.query(sql), code, sql)
        await fails(client.query({ text: sql, values: [], queryMode: 'extended' }), code, sql)
        equal(await value(client, 'SELECT who()'), WHO.alice)
      }
      await fails(client.query('SELECT $1::int', ['no number']), '22P02')
      await client.query('BEGIN')
      await fails(client.query('SELECT 1/0'), '22012')
      await fails(client.query('SELECT 1'), '25P02')
      equal((await client.query('COMMIT')).command, 'ROLLBACK')
      equal(await value(client, 'SELECT who()'), WHO.alice)
    })
  },

  async refused_statements() {
    const refused = ['DROP TABLE todos', 'SET ROLE service_role', 'CREATE TABLE mine (a int)']
    if (!DIRECT) refused.push("SELECT set_config('app.user_id', 'bob', false)", "SET app.user_id = 'bob'", 'RESET ROLE', 'TRUNCATE todos')
    await connected(ALICE, async (client) => {
      for (const sql of refused) {
        const error = await fails(client.query(sql), '42501', sql)
        if (!DIRECT && !error.hint) throw new Error(`${sql}: no hint`)
        await fails(client.query({ text: sql, queryMode: 'extended' }), '42501', sql)
        equal(await value(client, 'SELECT who()'), WHO.alice, sql)
      }
    })
  },

  async transactions_and_savepoints() {
    const run = RUN + '-savepoints'
    const insert = 'INSERT INTO scratch (run, n) VALUES ($1, $2)'
    await connected(ALICE, async (client) => {
      await client.query('BEGIN')
      await client.query(insert, [run, 1])
      await client.query('SAVEPOINT a')
      await client.query(insert, [run, 2])
      await fails(client.query(insert, [run, 2]), '23505')
      await client.query('ROLLBACK TO SAVEPOINT a')
      equal(await value(client, 'SELECT who()'), WHO.alice)
      await client.query(insert, [run, 3])
      await client.query('RELEASE SAVEPOINT a')
      await client.query('COMMIT')
      const rows = async () => (await client.query('SELECT n FROM scratch WHERE run = $1 ORDER BY n', [run])).rows.map((row) => row.n)
      equal(await rows(), [1, 3])
      await client.query('BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY')
      equal(await value(client, 'SHOW transaction_isolation'), 'serializable')
      equal(await value(client, 'SELECT who()'), WHO.alice)
      await fails(client.query(insert, [run, 5]), '25006')
      await client.query('ROLLBACK')
      await client.query('BEGIN')
      await client.query('DELETE FROM scratch WHERE run = $1', [run])
      await client.query('ROLLBACK')
      equal(await rows(), [1, 3])
    })
  },

  async session_settings() {
    await connected(ALICE, (alice) =>
      connected(BOB, async (bob) => {
        await alice.query("SET TimeZone TO 'Asia/Tokyo'")
        for (let n = 0; n < 3; n++) {
          equal(await value(alice, 'SHOW TimeZone'), 'Asia/Tokyo')
          equal(await value(alice, 'SHOW statement_timeout'), '54321ms', 'a startup parameter')
          equal(await value(alice, 'SHOW application_name'), 'suite')
          if ((await value(bob, 'SHOW TimeZone')) === 'Asia/Tokyo') throw new Error('a setting crossed to another client')
        }
      }), { statement_timeout: 54321, application_name: 'suite' })
  },

  async copy_both_ways() {
    const run = RUN + '-copy'
    await connected(ALICE, async (client) => {
      const lines = function* () {
        for (let n = 0; n < COPY_ROWS; n++) yield `${run}\t${n}\t${copyLine(n)}\n`
      }
      const into = client.query(copyFrom('COPY scratch_in (run, n, body) FROM STDIN'))
      await pump(Readable.from(lines()), into)
      equal(into.rowCount, COPY_ROWS)
      const sql = "SELECT count(*) || ' ' || md5(string_agg(body, '' ORDER BY n)) FROM scratch WHERE run = $1"
      equal(await value(client, sql, [run]), `${COPY_ROWS} ${copyChecksum()}`)
      const chunks = []
      const out = client.query(copyTo(`COPY (SELECT body FROM scratch WHERE run = '${run}' ORDER BY n) TO STDOUT`))
      for await (const chunk of out) chunks.push(chunk)
      const got = Buffer.concat(chunks).toString('utf8').split('\n')
      equal(got.pop(), '')
      equal([got.length, md5(got.join(''))], [COPY_ROWS, copyChecksum()])
      equal((await client.query('DELETE FROM scratch WHERE run = $1', [run])).rowCount, COPY_ROWS)
    })
  },

  async copy_failures() {
    await connected(ALICE, async (client) => {
      const bad = Readable.from([`${RUN}\t1\n`, 'not\ta number\n'])
      await fails(pump(bad, client.query(copyFrom('COPY scratch_in (run, n) FROM STDIN'))), '22P02')
      equal(await value(client, 'SELECT who()'), WHO.alice)
    })
  },

  async big_value() {
    const block = md5(RUN) + '-'
    const text = block.repeat(BIG / block.length + 1).slice(0, BIG)
    await connected(ALICE, async (client) => {
      const { rows } = await client.query('SELECT length(v) AS length, md5(v) AS md5, v FROM (SELECT $1::text AS v) AS x', [text])
      equal([rows[0].length, rows[0].md5], [BIG, md5(text)], 'to the server')
      if (rows[0].v !== text) throw new Error('the value came back changed')
    })
  },

  async cancel() {
    await connected(ALICE, async (client) => {
      const sleep = fails(client.query('SELECT pg_sleep(30)'), '57014')
      await pause(500)
      const start = Date.now()
      await sendCancel(client)
      await sleep
      if (Date.now() - start > 15000) throw new Error(`cancelled only after ${Date.now() - start} ms`)
      equal(await value(client, 'SELECT who()'), WHO.alice)
    })
  },

  async cancel_reaches_nobody_else() {
    await connected(ALICE, (alice) =>
      connected(BOB, async (bob) => {
        await alice.query('SELECT 1')
        const running = value(bob, "SELECT 'unharmed' FROM pg_sleep(1.5)")
        await pause(400)
        for (let n = 0; n < 5; n++) await sendCancel(alice)
        equal(await running, 'unharmed')
      }))
  },

  async pipeline() {
    const run = RUN + '-pipeline'
    await connected(ALICE, async (client) => {
      const numbers = Array.from({ length: 200 }, (_, n) => n)
      const got = await Promise.all(numbers.map((n) => value(client, { text: 'SELECT $1::int', values: [n] })))
      equal(got, numbers)
      const named = await Promise.all(numbers.map((n) => value(client, { name: 'n', text: 'SELECT $1::int + 1', values: [n] })))
      equal(named, numbers.map((n) => n + 1))
      const mixed = await Promise.allSettled([
        client.query('BEGIN'),
        client.query('INSERT INTO scratch (run, n) VALUES ($1, 1)', [run]),
        client.query('COMMIT'),
        value(client, 'SELECT who()'),
        client.query('SELECT 1/0'),
        client.query('DROP TABLE todos'),
        value(client, 'SELECT who()'),
        value(client, 'SELECT count(*)::int FROM scratch WHERE run = $1', [run]),
      ])
      equal(mixed.map((result) => result.reason?.code ?? 'ok'), ['ok', 'ok', 'ok', 'ok', '22012', '42501', 'ok', 'ok'])
      equal([mixed[3].value, mixed[6].value, mixed[7].value], [WHO.alice, WHO.alice, 1])
    }, { pipeline: true })
  },

  async cursors() {
    await connected(ALICE, async (client) => {
      await client.query('BEGIN')
      // A portal that is executed with a row limit again and again.
      const cursor = client.query(new Cursor('SELECT generate_series(1, $1::int) AS n', [1050]))
      let total = 0
      for (let rows = await cursor.read(100); rows.length; rows = await cursor.read(100)) for (const row of rows) total += row.n
      equal(total, (1050 * 1051) / 2)
      await cursor.close()
      await client.query('COMMIT')
      const outside = client.query(new Cursor('SELECT generate_series(1, 10) AS n'))
      equal((await outside.read(3)).map((row) => row.n), [1, 2, 3])
      await outside.close()
      equal(await value(client, 'SELECT who()'), WHO.alice)
    })
  },

  async multiple_statements() {
    await connected(ALICE, async (client) => {
      const results = await client.query('SELECT 1 AS a; SELECT 2 AS b; BEGIN; SELECT 3 AS c; COMMIT; SELECT who() AS d')
      equal(results.map((result) => result.command), ['SELECT', 'SELECT', 'BEGIN', 'SELECT', 'COMMIT', 'SELECT'])
      equal(results[5].rows[0].d, WHO.alice)
    })
  },

  async clients_do_not_cross() {
    const select = "SELECT tenant, note, current_user_id() || '@' || current_tenant() AS session FROM crossing WHERE run = $1"
    const results = await Promise.allSettled(CLIENTS.map((who) =>
      connected(who.url, async (client) => {
        const mine = `${who.user}@${who.tenant}`
        for (let turn = 0; turn < TURNS; turn++) {
          await client.query({ name: 'insert', text: 'INSERT INTO crossing (run, note) VALUES ($1, $2)', values: [RUN, mine] })
          if (turn % 2) await client.query('BEGIN')
          const { rows } = await client.query({ name: 'select', text: select, values: [RUN] })
          if (turn % 2) await client.query('COMMIT')
          for (const row of rows)
            if (row.tenant !== who.tenant || !row.note.endsWith('@' + who.tenant) || row.session !== mine)
              throw new Error(`Crossing: ${mine} saw a row of ${row.tenant} written by ${row.note}, in a session of ${row.session}`)
          if (rows.length <= turn) throw new Error(`${mine}: own rows are missing`)
        }
      })))
    for (const result of results) if (result.reason) throw result.reason
  },
}

function sendCancel(client) {
  return new Promise((resolve, reject) => {
    const socket = net.connect(client.port, client.host, () => {
      const packet = Buffer.alloc(16)
      packet.writeInt32BE(16, 0)
      packet.writeInt32BE(80877102, 4)
      packet.writeInt32BE(client.processID, 8)
      packet.writeInt32BE(client.secretKey, 12)
      socket.write(packet)
    })
    socket.on('close', resolve).on('error', reject).resume()
  })
}

let failed = 0
for (const [name, check] of Object.entries(checks)) {
  if (ONLY.length && !ONLY.includes(name)) continue
  const start = Date.now()
  const late = pause(SECONDS * 1000, undefined, { ref: false }).then(() => {
    throw new Error(`not done within ${SECONDS} s`)
  })
  try {
    await Promise.race([check(), late])
    console.log(`ok ${name} (${((Date.now() - start) / 1000).toFixed(2)} s)`)
  } catch (error) {
    failed++
    console.log(`FAIL ${name}: ${String(error?.message ?? error).replaceAll('\n', ' ').slice(0, 600)}`)
  }
}
process.exit(failed ? 1 : 0)
