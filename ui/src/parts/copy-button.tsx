import { useSignal } from '@preact/signals'
import { useApp } from '../context.ts'
import { Icon } from './icon.tsx'

/** Copies `text`; says so on itself and in the live region. `wordy` where it is the main thing to do. */
export function CopyButton({ text, what, wordy }: { text: string; what: string; wordy?: true }) {
  const { notice } = useApp()
  const copied = useSignal(false)
  const copy = async (): Promise<void> => {
    try {
      await navigator.clipboard.writeText(text)
      copied.value = true
      notice.value = `Copied ${what}.`
      setTimeout(() => (copied.value = false), 2000)
    } catch {
      notice.value = `The browser does not allow copying. Select ${what} and copy it by hand.`
    }
  }
  return (
    <button
      type="button"
      class={wordy ? '' : 'quiet round'}
      onClick={() => void copy()}
      aria-label={`Copy ${what}`}
    >
      <Icon name={copied.value ? 'ok' : 'copy'} />
      {wordy ? (copied.value ? 'Copied' : 'Copy') : null}
    </button>
  )
}
