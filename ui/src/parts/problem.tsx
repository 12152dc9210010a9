import { Icon } from './icon.tsx'
import { Prose } from './prose.tsx'

/** A failed request in the words of the server: what, what to do, and the code to search for. */
export function Problem({ error, retry }: { error: unknown; retry?: () => void }) {
  const { message, fix, code } = error as { message?: string; fix?: string; code?: string }
  return (
    <div class="problem" role="alert">
      <Icon name="warning" />
      <div>
        <p>{message ?? 'Something went wrong.'}</p>
        {fix ? (
          <p class="muted">
            <Prose text={fix} />
          </p>
        ) : null}
        {code ? <code>{code}</code> : null}
        {retry ? (
          <p>
            <button type="button" onClick={retry}>
              Try again
            </button>
          </p>
        ) : null}
      </div>
    </div>
  )
}
