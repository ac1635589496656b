// Sequelize: models, sync, associations, transactions and query interface.
'use strict'

const { assert, steps, thrown, times, url } = require('./steps')
const { DataTypes, Op, QueryTypes, Sequelize, Transaction } = require('sequelize')

const sequelize = new Sequelize(url, { logging: false, pool: { max: 8 }, timezone: '+02:00', dialectOptions: { statement_timeout: 15_000 } })
const Author = sequelize.define('Author', {
  email: { type: DataTypes.STRING, unique: true, allowNull: false },
  extra: DataTypes.JSONB,
  kind: DataTypes.ENUM('poet', 'critic'),
  born: DataTypes.DATE,
  tags: DataTypes.ARRAY(DataTypes.TEXT),
  years: DataTypes.RANGE(DataTypes.INTEGER),
}, { tableName: 'sequelize_author' })
const Book = sequelize.define('Book', { title: DataTypes.STRING, price: DataTypes.DECIMAL(10, 2) }, { tableName: 'sequelize_book' })
Author.hasMany(Book)
Book.belongsTo(Author)

steps('sequelize', {
  'authenticate': () => sequelize.authenticate(),
  'sync makes the schema': () => sequelize.sync({ force: true }),
  'sync alters the schema': async() => {
    const more = { ...Author.getAttributes(), added: DataTypes.INTEGER, kind: DataTypes.ENUM('poet', 'critic', 'both') }
    await new Sequelize(url, { logging: false }).define('Author', more, { tableName: 'sequelize_author' }).sync({ alter: true })
    const columns = await sequelize.getQueryInterface().describeTable('sequelize_author')
    assert.deepEqual(columns.kind.special, ['poet', 'critic', 'both'])
    assert.equal(columns.added.type, 'INTEGER')
  },
  'create, find, update, destroy': async() => {
    const born = new Date('2001-02-03T04:05:06Z')
    const made = await Author.create({ email: 'a@x', extra: { n: [1] }, kind: 'poet', born, tags: ['a', 'b,"c'], years: [1, 5] })
    const found = await Author.findByPk(made.id)
    assert.deepEqual([found.extra, found.kind, +found.born, found.tags, found.years.map(end => end.value)], [{ n: [1] }, 'poet', +born, ['a', 'b,"c'], [1, 5]])
    await found.update({ kind: 'critic' })
    assert.equal(await Author.count({ where: { kind: 'critic', extra: { [Op.contains]: { n: [1] } } } }), 1)
    await Author.create({ email: 'gone@x' }).then(gone => gone.destroy())
    assert.equal(await Author.count({ where: { email: 'gone@x' } }), 0)
  },
  'bulk create, upsert, findOrCreate': async() => {
    const many = await Author.bulkCreate(Array.from({ length: 300 }, (_, i) => ({ email: `bulk${i}@x` })))
    assert.equal(many.length, 300)
    await Author.upsert({ email: 'a@x', kind: 'critic' })
    const [author, made] = await Author.findOrCreate({ where: { email: 'found@x' }, defaults: { kind: 'poet' } })
    assert.deepEqual([author.kind, made], ['poet', true])
    const [, again] = await Author.findOrCreate({ where: { email: 'found@x' } })
    assert.equal(again, false)
  },
  'associations': async() => {
    const author = await Author.findOne({ where: { email: 'a@x' } })
    await author.createBook({ title: 'One', price: '1.25' })
    const found = await Author.findAll({ include: [{ model: Book, where: { price: { [Op.gt]: 1 } } }] })
    assert.deepEqual(found.map(row => row.Books.map(book => book.price)), [['1.25']])
  },
  'errors have their class': async() => {
    const error = await thrown(() => Author.create({ email: 'a@x' }))
    assert.deepEqual([error.name, error.fields], ['SequelizeUniqueConstraintError', { email: 'a@x' }])
    assert.equal((await thrown(() => Book.create({ AuthorId: -1 }))).name, 'SequelizeForeignKeyConstraintError')
    assert.equal((await thrown(() => sequelize.query('SELECT * FROM nowhere'))).parent.code, '42P01')
  },
  'transactions, savepoints, isolation': async() => {
    await sequelize.transaction({ isolationLevel: Transaction.ISOLATION_LEVELS.SERIALIZABLE }, async transaction => {
      await Author.create({ email: 't@x' }, { transaction })
      await thrown(() => sequelize.transaction({ transaction }, nested => Author.create({ email: 't@x' }, { transaction: nested })))
      assert.equal(await Author.count({ where: { email: 't@x' }, transaction }), 1)
    })
    await thrown(() => sequelize.transaction(async transaction => {
      await Author.create({ email: 'never@x' }, { transaction })
      throw new Error('no')
    }))
    assert.equal(await Author.count({ where: { email: ['t@x', 'never@x'] } }), 1)
  },
  'deferred constraints': () => sequelize.transaction({ deferrable: Sequelize.Deferrable.SET_DEFERRED }, transaction => Author.count({ transaction })),
  'locks': () => sequelize.transaction(async transaction => {
    assert.ok(await Author.findOne({ where: { email: 'a@x' }, lock: transaction.LOCK.UPDATE, skipLocked: true, transaction }))
  }),
  'raw queries with replacements and bind': async() => {
    assert.deepEqual(await sequelize.query('SELECT :a::int AS a', { replacements: { a: 1 }, type: QueryTypes.SELECT }), [{ a: 1 }])
    assert.deepEqual(await sequelize.query('SELECT $a::int AS a, $b::text AS b', { bind: { a: 1, b: 'x' }, type: QueryTypes.SELECT }), [{ a: 1, b: 'x' }])
  },
  'the time zone of the options': async() => {
    assert.deepEqual(await sequelize.query("SELECT extract(timezone FROM now())::int AS seconds", { type: QueryTypes.SELECT }), [{ seconds: 7200 }])
  },
  'query interface': async() => {
    const face = sequelize.getQueryInterface()
    await face.addIndex('sequelize_book', ['title'], { name: 'sequelize_title' })
    assert.ok((await face.showIndex('sequelize_book')).some(index => index.name === 'sequelize_title'))
    await face.renameColumn('sequelize_book', 'title', 'name')
    await face.removeColumn('sequelize_book', 'name')
    assert.ok((await face.showAllTables()).some(table => (table.tableName || table) === 'sequelize_book'))
  },
  'many at once': () => times(200, i => Author.findAll({ where: { id: { [Op.gt]: i } }, limit: 3 })),
})
