// Prisma's client with its driver adapter, which needs no engine: queries, nested writes and transactions.
'use strict'

const { assert, steps, thrown, times, url } = require('./steps')
const { PrismaPg } = require('@prisma/adapter-pg')
const { Prisma, PrismaClient } = require('./generated')

const prisma = new PrismaClient({ adapter: new PrismaPg({ connectionString: url, max: 8 }) })

steps('prisma', {
  'schema': async() => {
    await prisma.$executeRawUnsafe(`CREATE TABLE prisma_author (id serial PRIMARY KEY, email text NOT NULL UNIQUE, extra jsonb, tags text[],
      born timestamp(3) NOT NULL DEFAULT CURRENT_TIMESTAMP)`)
    await prisma.$executeRawUnsafe(`CREATE TABLE prisma_book (id serial PRIMARY KEY, title text NOT NULL, price decimal(10, 2), cover bytea,
      "authorId" int NOT NULL REFERENCES prisma_author)`)
  },
  'create with nested writes, find with relations': async() => {
    const made = await prisma.author.create({
      data: { email: 'a@x', extra: { n: [1] }, tags: ['a', 'b,"c'], books: { create: [{ title: 'One', price: '1.25', cover: Buffer.from('00ff', 'hex') }, { title: 'Two' }] } },
      include: { books: { orderBy: { id: 'asc' } } },
    })
    assert.deepEqual([made.extra, made.tags, made.books.map(book => book.title)], [{ n: [1] }, ['a', 'b,"c'], ['One', 'Two']])
    const found = await prisma.author.findUnique({ where: { email: 'a@x' }, include: { books: { where: { price: { gt: 1 } } } } })
    assert.deepEqual([`${found.books[0].price}`, [...found.books[0].cover]], ['1.25', [0, 255]])
  },
  'many rows, upsert, aggregate': async() => {
    assert.equal((await prisma.author.createMany({ data: Array.from({ length: 300 }, (_, i) => ({ email: `bulk${i}@x` })) })).count, 300)
    await prisma.author.upsert({ where: { email: 'a@x' }, create: { email: 'a@x' }, update: { extra: { n: 2 } } })
    assert.equal(await prisma.author.count({ where: { extra: { path: ['n'], equals: 2 } } }), 1)
    assert.equal((await prisma.book.groupBy({ by: ['authorId'], _count: true }))[0]._count, 2)
  },
  'errors have their code': async() => {
    assert.equal((await thrown(() => prisma.author.create({ data: { email: 'a@x' } }))).code, 'P2002')
    assert.equal((await thrown(() => prisma.book.create({ data: { title: 'x', authorId: -1 } }))).code, 'P2003')
    assert.equal((await thrown(() => prisma.$queryRaw`SELECT * FROM nowhere`)).code, 'P2010')
  },
  'a batch is a transaction': async() => {
    const add = email => prisma.author.create({ data: { email } })
    await thrown(() => prisma.$transaction([add('batch@x'), add('batch@x')]))
    assert.equal(await prisma.author.count({ where: { email: 'batch@x' } }), 0)
  },
  'interactive transactions and isolation': async() => {
    await prisma.$transaction(async tx => {
      await tx.author.update({ where: { email: 'a@x' }, data: { tags: { push: 'd' } } })
      assert.deepEqual((await tx.$queryRaw`SELECT current_setting('transaction_isolation') AS level`)[0].level, 'serializable')
    }, { isolationLevel: Prisma.TransactionIsolationLevel.Serializable })
    await thrown(() => prisma.$transaction(async tx => {
      await tx.author.create({ data: { email: 'never@x' } })
      throw new Error('no')
    }))
    assert.equal(await prisma.author.count({ where: { email: 'never@x' } }), 0)
  },
  'raw queries': async() => {
    const [row] = await prisma.$queryRaw`SELECT ${1}::int AS a, ${'x'} AS b, ${new Date(0)}::timestamptz AS c, ${[1, 2]}::int[] AS d`
    assert.deepEqual(row, { a: 1, b: 'x', c: new Date(0), d: [1, 2] })
  },
  'many at once': () => times(200, i => prisma.author.findMany({ where: { id: { gt: i } }, take: 3, include: { books: true } })),
})
