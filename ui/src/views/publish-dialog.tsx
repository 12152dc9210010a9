import { useSignal } from '@preact/signals'
import { useMemo } from 'preact/hooks'
import type { ServiceProtocol } from '../../../node/api/schemas.ts'
import type { ApiError } from '../api.ts'
import { useApp } from '../context.ts'
import { createPublishForm } from '../models/publish-form.ts'
import { Dialog } from '../parts/dialog.tsx'
import { Field } from '../parts/field.tsx'
import { Problem } from '../parts/problem.tsx'

/** Publishes something of this machine under a name. */
export function PublishDialog({ onClose }: { onClose: () => void }) {
  const { api, node, notice } = useApp()
  const form = useMemo(createPublishForm, [])
  const tried = useSignal(false)
  const busy = useSignal(false)
  const failure = useSignal<ApiError | null>(null)
  const domain = node.status.value?.mesh?.domain ?? 'home.internal'
  const problems = tried.value ? form.problems.value : {}
  const field = failure.value?.field?.split('.')[0]
  const serverSays = (name: string): string | undefined =>
    field === name ? failure.value?.message : undefined

  const submit = async (event: Event): Promise<void> => {
    event.preventDefault()
    tried.value = true
    if (!form.valid.value || busy.value) return
    busy.value = true
    try {
      const service = await api.publish(form.input.value)
      notice.value = `${service.name} is published.`
      onClose()
    } catch (error) {
      failure.value = error as ApiError
    } finally {
      busy.value = false
    }
  }

  return (
    <Dialog title="Publish a service" onClose={onClose}>
      <form noValidate onSubmit={(event) => void submit(event)}>
        <Field
          label="Name"
          hint={
            <>
              opens as <b>{`${form.name.value || 'NAME'}.${domain}`}</b>
            </>
          }
          error={problems.name ?? serverSays('name')}
        >
          <input
            type="text"
            autocomplete="off"
            spellcheck={false}
            value={form.name}
            onInput={(event) => (form.name.value = event.currentTarget.value.toLowerCase())}
          />
        </Field>
        <Field
          label="Target"
          hint="3000 · 192.168.1.5:8096 · https://localhost:8443 · /srv/site"
          error={problems.target ?? serverSays('target')}
        >
          <input
            type="text"
            autocomplete="off"
            spellcheck={false}
            value={form.target}
            onInput={(event) => (form.target.value = event.currentTarget.value)}
          />
        </Field>
        <Field label="Protocol">
          <select
            value={form.proto}
            onChange={(event) => (form.proto.value = event.currentTarget.value as ServiceProtocol)}
          >
            <option value="auto">find out from the target</option>
            <option value="http">http</option>
            <option value="https">https</option>
            <option value="tcp">tcp</option>
          </select>
        </Field>
        <fieldset>
          <legend>Who may reach it</legend>
          <label class="choice">
            <input
              type="radio"
              name="who"
              checked={form.everyone.value}
              onChange={() => (form.everyone.value = true)}
            />
            Every member of the mesh
          </label>
          <label class="choice">
            <input
              type="radio"
              name="who"
              checked={!form.everyone.value}
              onChange={() => (form.everyone.value = false)}
            />
            Only some
          </label>
          {form.everyone.value ? null : (
            <Field label="These" hint="tag:family, peer:laptop" error={problems.allow ?? serverSays('allow')}>
              <input
                type="text"
                autocomplete="off"
                spellcheck={false}
                value={form.subjects}
                onInput={(event) => (form.subjects.value = event.currentTarget.value)}
              />
            </Field>
          )}
        </fieldset>
        <label class="choice">
          <input
            type="checkbox"
            checked={form.crossSite.value}
            onChange={(event) => (form.crossSite.value = event.currentTarget.checked)}
          />
          <span>
            Allow requests from pages of other sites <span class="muted">(for APIs used by web apps)</span>
          </span>
        </label>
        {failure.value ? <Problem error={failure.value} /> : null}
        <footer>
          <button type="button" onClick={onClose}>
            Cancel
          </button>
          <button type="submit" class="primary" disabled={busy.value}>
            Publish
          </button>
        </footer>
      </form>
    </Dialog>
  )
}
