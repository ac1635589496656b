// TypeORM: entities, synchronization, migrations, query builder, transactions and streams.
'use strict'

const { assert, steps, thrown, times, url } = require('./steps')
const { DataSource, EntitySchema, In, Like } = require('typeorm')

const Author = new EntitySchema({
  name: 'Author',
  tableName: 'typeorm_author',
  columns: {
    id: { type: 'int', primary: true, generated: true },
    email: { type: 'varchar', unique: true },
    key: { type: 'uuid', generated: 'uuid' },
    extra: { type: 'jsonb', nullable: true },
    tags: { type: 'text', array: true, nullable: true },
    kind: { type: 'enum', enum: ['poet', 'critic'], nullable: true },
    made: { type: 'timestamptz', createDate: true },
    version: { type: 'int', version: true },
  },
  relations: { books: { type: 'one-to-many', target: 'Book', inverseSide: 'author', cascade: true } },
})
const Book = new EntitySchema({
  name: 'Book',
  tableName: 'typeorm_book',
  columns: { id: { type: 'int', primary: true, generated: true }, title: { type: 'varchar' }, price: { type: 'numeric', precision: 10, scale: 2, nullable: true } },
  relations: { author: { type: 'many-to-one', target: 'Author', inverseSide: 'books' } },
})
class One1700000000000 {
  up(runner) { return runner.query('CREATE TABLE typeorm_one (id int)') }
  down(runner) { return runner.query('DROP TABLE typeorm_one') }
}
const source = new DataSource({ type: 'postgres', url, entities: [Author, Book], migrations: [One1700000000000], applicationName: 'orms', poolSize: 8 })
const authors = () => source.getRepository('Author')

steps('typeorm', {
  'initialize': () => source.initialize(),
  'synchronize makes the schema': () => source.synchronize(),
  'synchronize finds nothing to change': async() => {
    const { upQueries } = await source.driver.createSchemaBuilder().log()
    assert.deepEqual(upQueries.map(query => query.query), [])
  },
  'migrations': async() => {
    assert.equal((await source.runMigrations()).length, 1)
    await source.undoLastMigration()
  },
  'save, find, relations': async() => {
    const made = await authors().save({ email: 'a@x', extra: { n: [1] }, tags: ['a', 'b,"c'], kind: 'poet', books: [{ title: 'One', price: '1.25' }] })
    assert.match(made.key, /^[0-9a-f-]{36}$/)
    const found = await authors().findOne({ where: { id: made.id }, relations: { books: true } })
    assert.deepEqual([found.extra, found.tags, found.books[0].price], [{ n: [1] }, ['a', 'b,"c'], '1.25'])
    found.kind = 'critic'
    await authors().save(found)
    assert.equal((await authors().findOneBy({ id: made.id })).version, 2)
    await authors().save(Array.from({ length: 300 }, (_, i) => ({ email: `bulk${i}@x` })), { chunk: 50 })
    assert.equal(await authors().countBy({ email: Like('bulk%') }), 300)
  },
  'upsert and query builder': async() => {
    await authors().upsert({ email: 'a@x', kind: 'poet' }, ['email'])
    const rows = await authors().createQueryBuilder('a').leftJoinAndSelect('a.books', 'b').where('a.email IN (:...emails)', { emails: ['a@x', 'b@x'] })
      .orderBy('a.id').take(5).getManyAndCount()
    assert.deepEqual([rows[0][0].kind, rows[1]], ['poet', 1])
  },
  'errors have their code': async() => {
    const error = await thrown(() => authors().insert({ email: 'a@x' }))
    assert.deepEqual([error.name, error.code], ['QueryFailedError', '23505'])
  },
  'transactions, savepoints, isolation': async() => {
    await source.transaction('SERIALIZABLE', async manager => {
      await manager.save('Author', { email: 't@x' })
      await thrown(() => manager.transaction(nested => nested.insert('Author', { email: 't@x' })))
      assert.equal(await manager.countBy('Author', { email: 't@x' }), 1)
    })
    await thrown(() => source.transaction(async manager => {
      await manager.save('Author', { email: 'never@x' })
      throw new Error('no')
    }))
    assert.equal(await authors().countBy({ email: In(['t@x', 'never@x']) }), 1)
  },
  'locks': () => source.transaction(async manager => {
    assert.ok(await manager.findOne('Author', { where: { email: 'a@x' }, lock: { mode: 'pessimistic_write', onLocked: 'skip_locked' } }))
  }),
  'a stream of rows': async() => {
    let rows = 0
    for await (const row of await authors().createQueryBuilder('a').stream()) rows += Number(Boolean(row))
    assert.ok(rows >= 300, `${rows}`)
  },
  'a query runner of its own': async() => {
    const runner = source.createQueryRunner()
    await runner.connect()
    await runner.startTransaction()
    await runner.query('UPDATE typeorm_author SET kind = $1 WHERE email = $2', ['critic', 'a@x'])
    await runner.rollbackTransaction()
    assert.equal((await runner.getTable('typeorm_author')).columns.length, 8)
    await runner.release()
  },
  'many at once': () => times(200, i => authors().find({ where: { email: Like(`bulk${i}%`) }, take: 3 })),
  'drop the schema': () => source.dropDatabase(),
})
