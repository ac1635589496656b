// Stands in for the harness of postgres.js' own tests, which stops at the first failure: lists the tests, or runs
// the one whose line PORTCULLIS_COMPAT_LINE names, and prints a JSON object for each on a line of its own.

const wanted = process.env.PORTCULLIS_COMPAT_LINE
let last = 0
let warm = async() => {}

export const nt = () => {}
export const t = (...rest) => test(...rest)
export const ot = t
t.timeout = 5

function test(name, options, run) {
  if (typeof options !== 'object') [options, run] = [{}, options]
  const line = new Error().stack.split('\n')[3].match(/:([0-9]+):/)[1]
  clearTimeout(last)
  last = setTimeout(() => wanted || process.exit(0))
  const title = `${ line } ${ name }`
  if (!wanted) return say({ name: title, state: 'listed' })
  // The first query of a connection learns the types of arrays for those that come behind it.
  if (name === 'Result is array') warm = run
  if (wanted !== line) return
  const late = setTimeout(() => end(title, 'timed out'), 1000 * (options.timeout || t.timeout))
  Promise.resolve().then(warm).then(run).then(async found => {
    if (!Array.isArray(found)) throw new Error('Test should return result array')
    const [expected, got] = await Promise.all(found)
    if (expected !== got) throw new Error(`expected ${ expected }, got ${ got }`)
    clearTimeout(late)
    end(title)
  }).catch(error => end(title, (error && (error.code ? error.code + ' ' : '') + (error.stack || error)) || 'rejected'))
}

function say(found) {
  process.stdout.write(JSON.stringify(found) + '\n')
}

function end(name, text) {
  process.stdout.write(JSON.stringify({ name, state: text ? 'failed' : 'passed', text: text || '' }) + '\n', () => process.exit(0))
}
