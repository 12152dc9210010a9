import { HELD_NAMES } from './trace.ts'
import type { HeldName } from './trace.ts'
import { NODES_MAX } from './trace-limits.ts'

/** The form of the lines that is understood. */
const VERSION = 1
const TEXT_LENGTH_MAX = 200

/** The file is no trace, or not one that can be shown; `message` says why, with the line. */
export class TraceError extends Error {}

/** What is wrong with one line. */
export class LineError extends Error {}

/** A line as it was parsed, its fields not yet looked at. */
export type Line = Readonly<Record<string, unknown>>

/** What the first line says. */
export interface TraceHeader {
  readonly scenario: string
  readonly seed: string
  readonly nodes: number
  readonly isFormed: boolean
}

/** Reads the first line. @throws TraceError when it is not that of a trace that can be shown. */
export function readHeader(text: string): TraceHeader {
  let line: Line
  try {
    line = parseLine(text)
    if (line['kind'] !== 'trace') throw new LineError('it does not begin with a line of the kind “trace”')
  } catch (error) {
    if (!(error instanceof LineError)) throw error
    throw new TraceError(`This is no trace of the simulator: line 1: ${error.message}.`, { cause: error })
  }
  const { version, nodes, start } = line
  if (version !== VERSION)
    throw new TraceError(`Line 1: this trace is of the form ${String(version)}, the player reads ${VERSION}.`)
  if (typeof nodes !== 'number' || !Number.isInteger(nodes) || nodes < 1)
    throw new TraceError('Line 1: it does not say how many nodes there are.')
  if (nodes > NODES_MAX)
    throw new TraceError(`Line 1: the trace has ${nodes} nodes, the player shows up to ${NODES_MAX}.`)
  return { scenario: shown(line['scenario']), seed: shown(line['seed']), nodes, isFormed: start === 'formed' }
}

/** One line as an object. @throws LineError */
export function parseLine(text: string): Line {
  let parsed: unknown
  try {
    parsed = JSON.parse(text)
  } catch (cause) {
    throw new LineError('it is not JSON', { cause })
  }
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed))
    throw new LineError('it is no JSON object')
  return parsed as Line
}

function shown(text: unknown): string {
  return typeof text === 'string' ? text.slice(0, TEXT_LENGTH_MAX) : '?'
}

/** A whole number from 0 to `max`. @throws LineError */
export function integer(line: Line, key: string, max: number): number {
  const number = line[key]
  if (typeof number !== 'number' || !Number.isInteger(number) || number < 0 || number > max)
    throw new LineError(`“${key}” is no whole number up to ${max}`)
  return number
}

/** A short text. @throws LineError */
export function textOf(line: Line, key: string): string {
  const text = line[key]
  if (typeof text !== 'string' || text.length > TEXT_LENGTH_MAX)
    throw new LineError(`“${key}” is no text of up to ${TEXT_LENGTH_MAX} characters`)
  return text
}

/** An object. @throws LineError */
export function record(line: Line, key: string): Line {
  const given = line[key]
  if (typeof given !== 'object' || given === null || Array.isArray(given))
    throw new LineError(`“${key}” is no object`)
  return given as Line
}

/** A list of nodes. @throws LineError */
export function indexList(list: unknown): number[] {
  if (!Array.isArray(list) || list.length > NODES_MAX) throw new LineError('a list of nodes is none')
  for (const index of list as unknown[])
    if (typeof index !== 'number' || !Number.isInteger(index) || index < 0 || index >= NODES_MAX)
      throw new LineError(`a list names a node that is no whole number up to ${NODES_MAX - 1}`)
  return list as number[]
}

/** Number of a way to be held; 0 for `gone`. @throws LineError */
export function heldOf(name: unknown): number {
  if (name === 'gone') return 0
  const held = HELD_NAMES.indexOf(name as HeldName)
  if (held < 1) throw new LineError('nobody is held like that')
  return held
}
