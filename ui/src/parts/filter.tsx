import type { Signal } from '@preact/signals'
import { useEffect, useRef } from 'preact/hooks'

/** A search field for the list below it. The key "/" jumps into it, Escape clears it. */
export function Filter({ value, label, hint }: { value: Signal<string>; label: string; hint: string }) {
  const ref = useRef<HTMLInputElement>(null)
  useEffect(() => {
    const onKey = (event: KeyboardEvent): void => {
      if (
        event.key !== '/' ||
        event.target instanceof HTMLInputElement ||
        event.target instanceof HTMLTextAreaElement
      )
        return
      event.preventDefault()
      ref.current?.focus()
    }
    addEventListener('keydown', onKey)
    return () => removeEventListener('keydown', onKey)
  }, [])
  return (
    <input
      ref={ref}
      type="search"
      class="filter"
      aria-label={label}
      aria-keyshortcuts="/"
      placeholder={hint}
      value={value}
      onInput={(event) => (value.value = event.currentTarget.value)}
      onKeyDown={(event) => event.key === 'Escape' && (value.value = '')}
    />
  )
}
