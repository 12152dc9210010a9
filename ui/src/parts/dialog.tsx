import type { ComponentChildren } from 'preact'
import { useId, useLayoutEffect, useRef } from 'preact/hooks'
import { Icon } from './icon.tsx'
import '../styles/dialog.css'

/** A modal dialog: the browser keeps the focus inside, Escape closes, focus returns to what opened it. */
export function Dialog({
  title,
  onClose,
  children,
}: {
  title: string
  onClose: () => void
  children: ComponentChildren
}) {
  const ref = useRef<HTMLDialogElement>(null)
  const id = useId()
  // With the render, not after the next frame: a key pressed in between, Escape above all, would be lost.
  useLayoutEffect(() => {
    const opener = document.activeElement
    ref.current?.showModal()
    return () => opener instanceof HTMLElement && opener.focus()
  }, [])
  return (
    <dialog ref={ref} aria-labelledby={id} onClose={onClose}>
      <header>
        <h2 id={id}>{title}</h2>
        <button type="button" class="quiet round" aria-label="Close" onClick={() => ref.current?.close()}>
          <Icon name="bad" />
        </button>
      </header>
      {children}
    </dialog>
  )
}
