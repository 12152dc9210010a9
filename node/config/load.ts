import { existsSync, readFileSync } from 'node:fs'
import { parse, TomlError } from 'smol-toml'
import type { z } from 'zod'
import type { ConfigEntry } from '../api/schemas.ts'
import { ConfigError } from './errors.ts'
import { ConfigSchema, DEFAULT_CONFIG, type Config } from './schema.ts'

/** Settings by dotted key (`ui.port`), before validation. */
export type FlatConfig = Record<string, unknown>
type Source = ConfigEntry['source']

/** Where the values come from, weakest first: defaults, file, environment, flags. */
export interface ConfigSources {
  /** Path of `config.toml`; a missing file is an empty one. */
  readonly file: string
  readonly environment: Readonly<Record<string, string | undefined>>
  readonly flags: FlatConfig
}

/** A configuration and the origin of each value. */
export interface LoadedConfig {
  readonly config: Config
  readonly entries: ConfigEntry[]
}

/** Environment variables that are not settings but places and switches; documented in README. */
const NOT_SETTINGS = new Set(['KITH_DATA'])

/**
 * Merges and validates all sources.
 * @throws ConfigError naming the source, the key and the bad value.
 */
export function loadConfig(sources: ConfigSources): LoadedConfig {
  const layers: [Source, FlatConfig][] = [
    ['default', flatten(DEFAULT_CONFIG)],
    ['file', readFile(sources.file)],
    ['environment', readEnvironment(sources.environment)],
    ['flag', sources.flags],
  ]
  const known = Object.keys(layers[0]?.[1] ?? {})
  const merged = new Map<string, { value: unknown; source: Source }>()
  for (const [source, values] of layers) {
    for (const [key, value] of Object.entries(values)) {
      if (!known.includes(key)) throw unknownKey(key, source, sources.file, known)
      merged.set(key, { value, source })
    }
  }
  const parsed = ConfigSchema.safeParse(unflatten(merged))
  if (!parsed.success) throw invalid(parsed.error, merged, sources.file)
  const values = flatten(parsed.data)
  return {
    config: parsed.data,
    entries: known.map((key) => ({ key, value: values[key], source: merged.get(key)?.source ?? 'default' })),
  }
}

function readFile(file: string): FlatConfig {
  if (!existsSync(file)) return {}
  let text: string
  try {
    text = readFileSync(file, 'utf8')
  } catch (cause) {
    throw new ConfigError('config-unreadable', `Cannot read ${file}: ${(cause as Error).message}`, { cause })
  }
  try {
    return flatten(parse(text))
  } catch (cause) {
    if (!(cause instanceof TomlError)) throw cause
    const reason = cause.message.split('\n')[0]
    throw new ConfigError('config-syntax', `${file}, line ${cause.line}: ${reason}`, { cause })
  }
}

/** `KITH_UI_PORT=0` is `ui.port`; lists are separated by commas or blanks. */
function readEnvironment(environment: ConfigSources['environment']): FlatConfig {
  const defaults = flatten(DEFAULT_CONFIG)
  const byVariable = new Map(
    Object.keys(defaults).map((key) => [`KITH_${key.replaceAll('.', '_').toUpperCase()}`, key]),
  )
  const out: FlatConfig = {}
  for (const [variable, text] of Object.entries(environment)) {
    if (!variable.startsWith('KITH_') || NOT_SETTINGS.has(variable) || text === undefined) continue
    const key = byVariable.get(variable)
    if (key === undefined) {
      throw new ConfigError(
        'config-unknown-key',
        `The environment variable ${variable} is not a setting of Kith`,
      )
    }
    out[key] = fromText(text, defaults[key], key)
  }
  return out
}

function fromText(text: string, example: unknown, key: string): unknown {
  if (Array.isArray(example) || key === 'roles') return text.split(/[\s,]+/).filter((part) => part !== '')
  if (typeof example === 'number') return Number(text)
  if (typeof example === 'boolean')
    return text === 'true' || text === '1' ? true : text === 'false' || text === '0' ? false : text
  return text
}

function flatten(value: object, prefix = ''): FlatConfig {
  const out: FlatConfig = {}
  for (const [key, inner] of Object.entries(value)) {
    if (typeof inner === 'object' && inner !== null && !Array.isArray(inner))
      Object.assign(out, flatten(inner, `${prefix}${key}.`))
    else out[prefix + key] = inner
  }
  return out
}

function unflatten(values: ReadonlyMap<string, { value: unknown }>): Record<string, unknown> {
  const out: Record<string, unknown> = {}
  for (const [key, { value }] of values) {
    const [section, inner] = key.split('.') as [string, string | undefined]
    if (inner === undefined) out[section] = value
    else out[section] = { ...(out[section] as object | undefined), [inner]: value }
  }
  return out
}

function unknownKey(key: string, source: Source, file: string, known: readonly string[]): ConfigError {
  const near = known.find((name) => name.split('.').at(-1) === key.split('.').at(-1))
  const where = source === 'file' ? file : `the ${source}s`
  const hint = near === undefined ? '' : `; did you mean "${near}"?`
  return new ConfigError('config-unknown-key', `Unknown key "${key}" in ${where}${hint}`)
}

function invalid(
  error: z.ZodError,
  merged: ReadonlyMap<string, { value: unknown; source: Source }>,
  file: string,
): ConfigError {
  const issue = error.issues[0]
  const key = issue?.path.filter((part) => typeof part === 'string').join('.') ?? ''
  const given = merged.get(key)
  const where =
    given?.source === 'file' ? ` in ${file}` : given === undefined ? '' : ` (from the ${given.source})`
  return new ConfigError(
    'config-invalid',
    `"${key}" = ${JSON.stringify(given?.value)}${where}: ${issue?.message ?? 'invalid'}`,
  )
}
