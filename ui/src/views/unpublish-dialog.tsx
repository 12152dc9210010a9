import { useSignal } from '@preact/signals'
import { useApp } from '../context.ts'
import { Dialog } from '../parts/dialog.tsx'
import { Problem } from '../parts/problem.tsx'

/** Asks once, says what follows, does it. */
export function UnpublishDialog({ name, onClose }: { name: string; onClose: () => void }) {
  const { api, notice } = useApp()
  const failure = useSignal<unknown>(null)
  const busy = useSignal(false)
  const unpublish = async (): Promise<void> => {
    busy.value = true
    try {
      await api.unpublish(name)
      notice.value = `${name} is no longer published.`
      onClose()
    } catch (error) {
      failure.value = error
      busy.value = false
    }
  }
  return (
    <Dialog title={`Unpublish ${name}?`} onClose={onClose}>
      <p>Open connections to it end, and the name is free for others. The program behind it keeps running.</p>
      {failure.value ? <Problem error={failure.value} /> : null}
      <footer>
        <button type="button" onClick={onClose}>
          Keep it
        </button>
        <button type="button" class="primary danger" disabled={busy.value} onClick={() => void unpublish()}>
          Unpublish
        </button>
      </footer>
    </Dialog>
  )
}
