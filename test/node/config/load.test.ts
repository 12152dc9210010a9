import { writeFileSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
import { loadConfig } from '../../../node/config/load.ts'
import { temporaryFolder } from '../../temporary-folder.ts'

function fileWith(text: string): string {
  const file = join(temporaryFolder(), 'config.toml')
  writeFileSync(file, text)
  return file
}
const load = (text: string, environment = {}, flags = {}) =>
  loadConfig({ file: fileWith(text), environment, flags })

test('a missing file means the defaults, and says so', (t) => {
  const { config, entries } = loadConfig({ file: '/nonexistent/config.toml', environment: {}, flags: {} })
  t.is(config.ui.port, 4780)
  t.is(config.gateway.port, 4743)
  t.is(config.dns.port, 4753)
  t.true(entries.every((entry) => entry.source === 'default'))
})

test('a flag beats the environment, which beats the file, which beats the default, and each value tells its source', (t) => {
  const { config, entries } = load(
    'name = "from-file"\n[ui]\nport = 1\n[dns]\nport = 2\n',
    { KITH_UI_PORT: '3', KITH_LISTEN: '/ip4/1.2.3.4/tcp/1,/ip6/::1/tcp/2' },
    { 'ui.port': 4 },
  )
  t.is(config.name, 'from-file')
  t.is(config.ui.port, 4)
  t.is(config.dns.port, 2)
  t.deepEqual(config.listen, ['/ip4/1.2.3.4/tcp/1', '/ip6/::1/tcp/2'])
  const source = (key: string) => entries.find((entry) => entry.key === key)?.source
  t.deepEqual(['name', 'ui.port', 'dns.port', 'listen', 'gateway.port'].map(source), [
    'file',
    'flag',
    'file',
    'environment',
    'default',
  ])
})

const refused: [
  title: string,
  text: string,
  environment: Record<string, string>,
  code: string,
  says: RegExp,
][] = [
  [
    'an unknown key, with the one that was meant',
    '[ui]\nprot = 1\n[web]\nport = 2',
    {},
    'config-unknown-key',
    /ui\.prot|web\.port/,
  ],
  [
    'an unknown section key that exists elsewhere',
    '[web]\nport = 2',
    {},
    'config-unknown-key',
    /did you mean "ui\.port"/,
  ],
  ['a file that is no TOML, with the line', 'name = "a"\nthis is not toml', {}, 'config-syntax', /line 2/],
  ['a port out of range, with the value', '[ui]\nport = 70000', {}, 'config-invalid', /"ui\.port" = 70000/],
  ['a name that is no label', 'name = "My Laptop"', {}, 'config-invalid', /My Laptop/],
  ['an unknown role', 'roles = ["king"]', {}, 'config-invalid', /roles/],
  ['an unknown environment variable', '', { KITH_COLOUR: 'red' }, 'config-unknown-key', /KITH_COLOUR/],
  ['a number that is none in the environment', '', { KITH_UI_PORT: 'high' }, 'config-invalid', /ui\.port/],
]
for (const [title, text, environment, code, says] of refused) {
  test(`refuses ${title}`, (t) => {
    const error = t.throws(() => load(text, environment))
    t.is((error as { code?: string }).code, code)
    t.regex(error?.message ?? '', says)
  })
}

test('refuses a file that cannot be read', (t) => {
  const folder = temporaryFolder()
  mkdirSync(join(folder, 'config.toml'))
  const error = t.throws(() => loadConfig({ file: join(folder, 'config.toml'), environment: {}, flags: {} }))
  t.is((error as { code?: string }).code, 'config-unreadable')
})

test('KITH_DATA is a place and not a setting', (t) => {
  t.notThrows(() => load('', { KITH_DATA: '/somewhere' }))
})
