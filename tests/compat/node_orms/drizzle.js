// Drizzle over both of its drivers: tables, relations, prepared queries and transactions.
'use strict'

const { assert, steps, thrown, times, url } = require('./steps')
const { drizzle } = require(`drizzle-orm/${process.argv[2]}`)
const { integer, jsonb, numeric, pgTable, serial, text, timestamp } = require('drizzle-orm/pg-core')
const { eq, relations, sql } = require('drizzle-orm')

const author = pgTable('drizzle_author', {
  id: serial().primaryKey(),
  email: text().notNull().unique(),
  extra: jsonb(),
  tags: text().array(),
  made: timestamp({ withTimezone: true }).defaultNow(),
})
const book = pgTable('drizzle_book', { id: serial().primaryKey(), title: text(), price: numeric(), authorId: integer().references(() => author.id) })
const schema = {
  author,
  book,
  authorBooks: relations(author, ({ many }) => ({ books: many(book) })),
  bookAuthor: relations(book, ({ one }) => ({ author: one(author, { fields: [book.authorId], references: [author.id] }) })),
}
const db = drizzle(url, { schema })
const code = error => (error.cause || error).code

steps(`drizzle over ${process.argv[2]}`, {
  'schema': async() => {
    await db.execute(sql`DROP TABLE IF EXISTS drizzle_book, drizzle_author`)
    await db.execute(sql`CREATE TABLE drizzle_author (id serial PRIMARY KEY, email text NOT NULL UNIQUE, extra jsonb, tags text[], made timestamptz DEFAULT now())`)
    await db.execute(sql`CREATE TABLE drizzle_book (id serial PRIMARY KEY, title text, price numeric, "authorId" int REFERENCES drizzle_author)`)
  },
  'insert, returning, upsert': async() => {
    const [row] = await db.insert(author).values({ email: 'a@x', extra: { n: [1] }, tags: ['a', 'b,"c'] }).returning()
    assert.deepEqual([row.id, row.extra, row.tags], [1, { n: [1] }, ['a', 'b,"c']])
    await db.insert(author).values({ email: 'a@x', extra: { n: 2 } }).onConflictDoUpdate({ target: author.email, set: { extra: { n: 3 } } })
    await db.insert(book).values({ title: 'One', price: '1.25', authorId: 1 })
    await db.insert(author).values(Array.from({ length: 300 }, (_, i) => ({ email: `bulk${i}@x` })))
  },
  'relational queries': async() => {
    const found = await db.query.author.findMany({ with: { books: true }, where: eq(author.email, 'a@x') })
    assert.deepEqual([found[0].extra, found[0].books[0].price], [{ n: 3 }, '1.25'])
  },
  'prepared queries': async() => {
    const wanted = db.select().from(author).where(eq(author.email, sql.placeholder('email'))).prepare('drizzle_by_email')
    const found = await times(50, i => wanted.execute({ email: `bulk${i}@x` }))
    assert.ok(found.every(rows => rows.length === 1))
  },
  'errors have their code': async() => {
    assert.equal(code(await thrown(() => db.insert(author).values({ email: 'a@x' }))), '23505')
  },
  'transactions, savepoints, isolation': async() => {
    await db.transaction(async tx => {
      await tx.insert(author).values({ email: 't@x' })
      await thrown(() => tx.transaction(nested => nested.insert(author).values({ email: 't@x' })))
      assert.equal((await tx.select().from(author).where(eq(author.email, 't@x'))).length, 1)
    }, { isolationLevel: 'serializable', accessMode: 'read write', deferrable: true })
    await thrown(() => db.transaction(async tx => {
      await tx.insert(author).values({ email: 'never@x' })
      tx.rollback()
    }))
    assert.equal((await db.select().from(author).where(eq(author.email, 'never@x'))).length, 0)
  },
  'many at once': () => times(200, i => db.select().from(author).where(eq(author.id, i)).for('share')),
})
