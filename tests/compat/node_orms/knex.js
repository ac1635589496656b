// Knex: builder, schema, migrations with their lock, transactions and streams.
'use strict'

const { assert, steps, thrown, times, url } = require('./steps')

const knex = require('knex')({ client: 'pg', connection: url, pool: { min: 0, max: 8 } })
const migrations = {
  getMigrations: async() => ['one', 'two'],
  getMigrationName: name => name,
  getMigration: async name => ({
    up: knex => knex.schema.createTable(`knex_${name}`, table => table.increments()),
    down: knex => knex.schema.dropTable(`knex_${name}`),
  }),
}

steps('knex', {
  'schema builder': async() => {
    await knex.schema.createTable('knex_author', table => {
      table.increments('id')
      table.string('email').unique().notNullable()
      table.jsonb('extra')
      table.timestamps(true, true)
      table.enu('kind', ['poet', 'critic'], { useNative: true, enumName: 'knex_kind' })
    })
    await knex.schema.alterTable('knex_author', table => table.decimal('fee', 10, 2))
    assert.equal(await knex.schema.hasTable('knex_author'), true)
    assert.equal((await knex('knex_author').columnInfo()).fee.type, 'numeric')
  },
  'migrations with their lock': async() => {
    const [batch, ran] = await knex.migrate.latest({ migrationSource: migrations })
    assert.deepEqual([batch, ran], [1, ['one', 'two']])
    await knex.migrate.rollback({ migrationSource: migrations })
    assert.equal(await knex.schema.hasTable('knex_two'), false)
  },
  'insert, returning, upsert': async() => {
    const rows = await knex('knex_author').insert([{ email: 'a@x', extra: { n: 1 } }, { email: 'b@x', kind: 'poet' }]).returning('*')
    assert.deepEqual(rows.map(row => row.id), [1, 2])
    await knex('knex_author').insert({ email: 'a@x', fee: 3.5 }).onConflict('email').merge()
    assert.equal((await knex('knex_author').where({ email: 'a@x' }).first()).fee, '3.50')
    await knex.batchInsert('knex_author', Array.from({ length: 500 }, (_, i) => ({ email: `batch${i}@x` })), 100)
  },
  'bindings of every kind': async() => {
    const { rows } = await knex.raw('SELECT ?::int AS a, ?::jsonb AS b, ?::timestamptz AS c, ?::bytea AS d, ?::text[] AS e, ? || \'\\?\' AS f',
      [1, { k: [1] }, new Date(0), Buffer.from('00ff', 'hex'), ['x', 'y,"z'], 'q'])
    assert.deepEqual(rows[0], { a: 1, b: { k: [1] }, c: new Date(0), d: Buffer.from('00ff', 'hex'), e: ['x', 'y,"z'], f: 'q?' })
  },
  'errors have their code': async() => {
    const error = await thrown(() => knex('knex_author').insert({ email: 'a@x' }))
    assert.deepEqual([error.code, error.constraint], ['23505', 'knex_author_email_unique'])
    assert.equal((await thrown(() => knex('nowhere'))).code, '42P01')
  },
  'transactions, savepoints, isolation': async() => {
    await knex.transaction(async trx => {
      await trx('knex_author').insert({ email: 't@x' })
      await thrown(() => trx.transaction(async nested => {
        await nested('knex_author').insert({ email: 'nested@x' })
        await nested('knex_author').insert({ email: 'nested@x' })
      }))
      assert.equal((await trx('knex_author').where('email', 'like', '%t@x')).length, 1)
    }, { isolationLevel: 'serializable' })
    await thrown(() => knex.transaction(async trx => {
      await trx('knex_author').insert({ email: 'never@x' })
      throw new Error('no')
    }))
    assert.equal((await knex('knex_author').whereIn('email', ['t@x', 'nested@x', 'never@x'])).length, 1)
  },
  'for update, skip locked': () => knex.transaction(async one => {
    await one('knex_author').where({ id: 1 }).forUpdate()
    const seen = await knex.transaction(two => two('knex_author').where('id', '<=', 2).forUpdate().skipLocked())
    assert.deepEqual(seen.map(row => row.id), [2])
  }),
  'a stream of rows': async() => {
    let rows = 0
    for await (const row of knex('knex_author').select('id').stream({ highWaterMark: 10 })) rows += Number(row.id > 0)
    assert.ok(rows >= 500, `${rows}`)
  },
  'a stream left early': async() => {
    for await (const row of knex('knex_author').select('id').stream({ highWaterMark: 10 })) if (row.id > 3) break
    assert.equal((await knex.raw('SELECT 1 AS one')).rows[0].one, 1)
  },
  'a query that takes too long is cancelled': async() => {
    const error = await thrown(() => knex.raw('SELECT pg_sleep(10)').timeout(200, { cancel: true }))
    assert.match(error.name, /Timeout/)
  },
  'many at once': async() => {
    const found = await times(200, i => knex('knex_author').where('id', '>', i).count().first())
    assert.equal(found.length, 200)
  },
})
