import { NamingError } from './errors.ts'
import { RESERVED_NAMES } from './limits.ts'

const LABEL = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/

/**
 * Checks a service or node name.
 * @throws NamingError `name-invalid`, `name-reserved`.
 */
export function checkName(name: string): void {
  if (!LABEL.test(name)) {
    throw new NamingError('name-invalid', `"${name.slice(0, 80)}" is not a lower-case DNS label`)
  }
  if (RESERVED_NAMES.includes(name)) throw new NamingError('name-reserved', `The name "${name}" is reserved`)
}

/** `wiki.home.internal`. */
export function serviceName(name: string, domain: string): string {
  return `${name}.${domain}`
}

/** `nas.node.home.internal`. */
export function nodeName(node: string, domain: string): string {
  return `${node}.node.${domain}`
}

/** `wiki.nas.node.home.internal`: always works, because nobody but the node can claim it. */
export function providerName(name: string, node: string, domain: string): string {
  return `${name}.${nodeName(node, domain)}`
}

/** What a fully qualified name of the mesh refers to. */
export type MeshName =
  | { readonly kind: 'apex' }
  | { readonly kind: 'service'; readonly service: string }
  | { readonly kind: 'node'; readonly node: string }
  | { readonly kind: 'provider'; readonly service: string; readonly node: string }
  /** Inside the domain but of no known shape, such as `a.b.home.internal`. */
  | { readonly kind: 'other' }

/** Reads a name in any letter case, with or without the final dot; undefined when it is outside the domain. */
export function parseName(text: string, domain: string): MeshName | undefined {
  const name = text.toLowerCase().replace(/\.$/, '')
  if (name === domain) return { kind: 'apex' }
  if (!name.endsWith(`.${domain}`)) return undefined
  const labels = name.slice(0, -domain.length - 1).split('.')
  const [first, second, third] = labels as [string, string | undefined, string | undefined]
  if (labels.length === 1) return { kind: 'service', service: first }
  if (labels.length === 2 && second === 'node') return { kind: 'node', node: first }
  if (labels.length === 3 && third === 'node' && second !== undefined)
    return { kind: 'provider', service: first, node: second }
  return { kind: 'other' }
}
