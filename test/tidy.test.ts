import { globSync, readFileSync, existsSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import test from 'ava'
import { parseSync } from 'oxc-parser'
import { RUNTIME_ENVIRONMENT, RUNTIME_FLAGS } from '../node/launcher.cjs'
import { REASON_AREAS, renderReasons } from '../node/reasons.ts'

/* The rules of the house that are worth repeating, as tests. */

const root = join(import.meta.dirname, '..')
const read = (file: string): string => readFileSync(join(root, file), 'utf8')
const sources = globSync('{protocols,bootstrap,node,simulations,ui/src,test}/**/*.{ts,tsx}', {
  cwd: root,
}).filter((file) => !file.includes('node_modules'))

/** What each top folder may import; `test` may import all and nobody imports `test`. */
const MAY_IMPORT: Readonly<Record<string, RegExp>> = {
  protocols: /^protocols\//,
  bootstrap: /^(bootstrap|protocols)\//,
  node: /^(node|bootstrap|protocols)\/|^package\.json$/,
  simulations: /^(simulations|node|protocols|bootstrap)\//,
  ui: /^(ui\/|node\/api\/)/,
  test: /./,
}

function importsOf(file: string): { from: string; isTypeOnly: boolean }[] {
  const { module } = parseSync(file, read(file))
  const plain = module.staticImports.map(({ moduleRequest, entries }) => ({
    from: moduleRequest.value,
    isTypeOnly: entries.length > 0 && entries.every((entry) => entry.isType),
  }))
  const again = module.staticExports.flatMap(({ entries }) =>
    entries.flatMap((entry) =>
      entry.moduleRequest === null ? [] : [{ from: entry.moduleRequest.value, isTypeOnly: entry.isType }],
    ),
  )
  return [...plain, ...again]
}

for (const folder of Object.keys(MAY_IMPORT).filter((name) =>
  sources.some((file) => file.startsWith(`${name}/`)),
)) {
  test(`${folder}/ imports nothing above it`, (t) => {
    for (const file of sources.filter((name) => name.startsWith(`${folder}/`))) {
      for (const { from } of importsOf(file).filter(({ from }) => from.startsWith('.'))) {
        const target = relative(root, resolve(root, dirname(file), from))
        t.regex(target, MAY_IMPORT[folder] as RegExp, `${file} imports ${target}`)
      }
    }
  })
}

test('no files import each other in a loop, types included', (t) => {
  const imports = new Map(
    sources.map((file) => [
      file,
      importsOf(file)
        .filter(({ from }) => from.startsWith('.'))
        .map(({ from }) => relative(root, resolve(root, dirname(file), from))),
    ]),
  )
  const done = new Set<string>()
  const visit = (file: string, path: readonly string[]): void => {
    if (path.includes(file)) return t.fail([...path.slice(path.indexOf(file)), file].join(' → '))
    if (done.has(file)) return
    for (const target of imports.get(file) ?? []) visit(target, [...path, file])
    done.add(file)
  }
  for (const file of sources) visit(file, [])
  t.true(done.size > 0)
})

test('the UI takes only types from node/api', (t) => {
  for (const file of sources.filter((name) => name.startsWith('ui/'))) {
    for (const { from, isTypeOnly } of importsOf(file)) {
      if (from.includes('node/api')) t.true(isTypeOnly, `${file} imports values from ${from}`)
    }
  }
  t.pass()
})

test('wire formats and machines import only relative files', (t) => {
  for (const file of sources.filter((name) => /^protocols\/[^/]+\/(wire|machine)\.ts$/.test(name))) {
    for (const { from } of importsOf(file)) t.true(from.startsWith('.'), `${file} imports ${from}`)
  }
})

test('each protocol folder has a README', (t) => {
  for (const folder of globSync('protocols/*', { cwd: root })) {
    t.true(existsSync(join(root, folder, 'README.md')), `${folder} has no README.md`)
  }
})

test('files and folders are named in kebab-case and say a concept', (t) => {
  for (const file of sources) {
    for (const part of file.split('/')) t.regex(part, /^[a-z0-9]+([-.][a-z0-9]+)*$/, file)
    t.notRegex(file, /(^|\/)(utils?|helpers?|manager|misc|common-utils)\b/, file)
  }
})

test('no file is left to do, skipped or focused', (t) => {
  for (const file of sources.filter((name) => name !== 'test/tidy.test.ts')) {
    t.notRegex(read(file), /\b(TODO|FIXME|XXX)\b|test\.(only|todo|failing)\(/, file)
  }
})

test('every exported thing in protocols, bootstrap and node has a doc comment', (t) => {
  const bare: string[] = []
  for (const file of sources.filter((name) => /^(protocols|bootstrap|node)\//.test(name))) {
    const lines = read(file).split('\n')
    for (const [index, line] of lines.entries()) {
      if (!/^export (async )?(abstract )?(function|class|interface|const)\b/.test(line)) continue
      const above = lines[index - 1] ?? ''
      // Limits that belong together share one comment.
      if (
        !/(\*\/|^\s*\/\/ .*)$/.test(above) &&
        !(file.endsWith('limits.ts') && above.startsWith('export const'))
      )
        bare.push(`${file}:${index + 1}`)
    }
  }
  t.deepEqual(bare, [])
})

test('REASONS.md is what the code says', (t) => {
  t.is(read('REASONS.md'), renderReasons(), 'run `npm run reasons`')
})

test('a reason code means one thing only', (t) => {
  const seen = new Map<string, string>()
  for (const [area, table] of Object.entries(REASON_AREAS)) {
    for (const [code, { summary }] of Object.entries(table)) {
      t.regex(code, /^[a-z0-9]+(-[a-z0-9]+)*$/)
      t.regex(summary, /\.$/, code)
      const held = seen.get(code)
      if (held !== undefined) t.fail(`${code} is in ${held} and in ${area}`)
      seen.set(code, area)
    }
  }
})

test('every direct dependency has its reason in ARCHITECTURE.md', (t) => {
  const { dependencies } = JSON.parse(read('package.json')) as { dependencies: Record<string, string> }
  const text = read('ARCHITECTURE.md')
  for (const name of Object.keys(dependencies)) t.true(text.includes(`\`${name}\``), `${name} has no reason`)
})

test('dependencies are exact', (t) => {
  const packageJson = JSON.parse(read('package.json')) as Record<string, Record<string, string>>
  for (const group of ['dependencies', 'devDependencies', 'optionalDependencies']) {
    for (const [name, version] of Object.entries(packageJson[group] ?? {}))
      t.regex(version, /^\d+\.\d+\.\d+$/, name)
  }
})

test('the lock file names no download addresses', (t) => {
  t.notRegex(read('package-lock.json'), /"resolved"/)
})

test('links between the documents lead somewhere', (t) => {
  for (const file of globSync('{*.md,{protocols,bootstrap,node,ui,simulations,test}/**/*.md}', {
    cwd: root,
  }).filter((name) => !name.includes('node_modules'))) {
    for (const [, target = ''] of read(file).matchAll(/\]\((?!https?:|#)([^)#]+)[^)]*\)/g)) {
      t.true(existsSync(join(root, dirname(file), target)), `${file} links to ${target}`)
    }
  }
})

test('nothing of the machine it was written on stands in the project', (t) => {
  for (const file of [...sources, ...globSync('*.{md,json}', { cwd: root })])
    t.notRegex(read(file), /\/work\/(main|shared)|\/root\//, file)
})

test('./kith and the launcher start the runtime with the same flags and environment', (t) => {
  t.true(read('kith').includes(` ${RUNTIME_FLAGS.join(' ')} `))
  for (const [name, value] of Object.entries(RUNTIME_ENVIRONMENT))
    t.true(read('kith').includes(`export ${name}="\${${name}-${value}}"\n`), name)
})

test('what happens at each named limit is tested: a test names it', (t) => {
  const tests = sources
    .filter((file) => file.startsWith('test/'))
    .map(read)
    .join('\n')
  const named = new Set(tests.match(/\b[A-Z0-9_]+_MAX\b/g))
  const limits = sources.filter((file) => /^(protocols|bootstrap|node)\/.*limits\.ts$/.test(file))
  const untested = limits.flatMap((file) =>
    [...read(file).matchAll(/^export const ([A-Z0-9_]+_MAX)\b/gm)].flatMap(([, name = '']) =>
      named.has(name) ? [] : [`${file} ${name}`],
    ),
  )
  t.true(limits.length > 10)
  t.deepEqual(untested, [])
})

test('a test makes folders only where they are taken away again', (t) => {
  const makers = sources.filter((file) => file.startsWith('test/') && /\bmkdtemp/.test(read(file)))
  t.deepEqual(
    makers.filter((file) => file !== 'test/tidy.test.ts'),
    ['test/temporary-folder.ts'],
  )
})
