import type { ComponentChildren } from 'preact'

/** Shown where a list has nothing in it: what would be here, and how it gets here. */
export function Empty({ title, children }: { title: string; children?: ComponentChildren }) {
  return (
    <div class="empty">
      <h2>{title}</h2>
      {children}
    </div>
  )
}

/** Grey bars while the first data is on its way. */
export function Loading({ label }: { label: string }) {
  return (
    <div class="loading" role="status">
      <span class="hidden">{label}</span>
      <i />
      <i />
      <i />
    </div>
  )
}
