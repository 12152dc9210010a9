import type { ComponentChildren } from 'preact'
import { Icon } from './icon.tsx'
import type { IconName } from './icon.tsx'

/** What a state means to a person. */
export type Tone = 'ok' | 'warning' | 'bad' | 'info' | 'dash'

const ICONS: Readonly<Record<Tone, IconName>> = {
  ok: 'ok',
  warning: 'warning',
  bad: 'bad',
  info: 'info',
  dash: 'dash',
}

/** A state in words with an icon; its colour only repeats them. */
export function Badge({ tone, children }: { tone: Tone; children: ComponentChildren }) {
  return (
    <span class={`badge ${tone}`}>
      <Icon name={ICONS[tone]} />
      {children}
    </span>
  )
}

/** Tone of an event or a warning. */
export function severityTone(severity: 'info' | 'notice' | 'warning' | 'alert'): Tone {
  if (severity === 'alert') return 'bad'
  if (severity === 'warning') return 'warning'
  return severity === 'notice' ? 'info' : 'dash'
}
