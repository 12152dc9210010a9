import type { ComponentChildren } from 'preact'
import { cloneElement } from 'preact'
import type { VNode } from 'preact'
import { useId } from 'preact/hooks'
import '../styles/field.css'

/** A labelled input with a hint and, when it is wrong, what is wrong with it. */
export function Field(props: {
  label: string
  hint?: ComponentChildren
  error?: string | undefined
  children: VNode
}) {
  const id = useId()
  const described = [props.hint && `${id}h`, props.error && `${id}e`].filter(Boolean).join(' ')
  return (
    <div class="field">
      <label for={id}>{props.label}</label>
      {cloneElement(props.children, {
        id,
        'aria-invalid': props.error ? 'true' : undefined,
        'aria-describedby': described || undefined,
      })}
      {props.hint ? (
        <p class="hint" id={`${id}h`}>
          {props.hint}
        </p>
      ) : null}
      {props.error ? (
        <p class="wrong" id={`${id}e`}>
          {props.error}
        </p>
      ) : null}
    </div>
  )
}
