// Runs the steps of a program one after the other and prints a JSON object for each on a line of its own.
'use strict'

const assert = require('node:assert/strict')

const env = process.env
const url = `postgresql://${encodeURIComponent(env.PGUSER)}:${encodeURIComponent(env.PGPASSWORD)}@${env.PGHOST}:${env.PGPORT}/${env.PGDATABASE}`

async function steps(program, wanted) {
  for (const [name, run] of Object.entries(wanted)) {
    const said = { name: `${program}: ${name}`, state: 'passed' }
    let late
    try {
      const timeout = new Promise((_, reject) => { late = setTimeout(() => reject(new Error('timed out')), 20_000) })
      await Promise.race([run(), timeout])
    } catch (error) {
      said.state = 'failed'
      said.text = [error, error.cause, error.parent].filter(Boolean).map(part => `${part.code || ''} ${part.stack || part}`).join('\n')
    }
    clearTimeout(late)
    process.stdout.write(JSON.stringify(said) + '\n')
  }
  process.exit(0)
}

// What `run` throws, or the error that its library wraps.
async function thrown(run) {
  try {
    await run()
  } catch (error) {
    return error
  }
  assert.fail('nothing was thrown')
}

module.exports = { assert, steps, thrown, url, times: (count, run) => Promise.all(Array.from({ length: count }, (_, i) => run(i))) }
