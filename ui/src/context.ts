import { createContext } from 'preact'
import { useContext } from 'preact/hooks'
import type { Signal } from '@preact/signals'
import type { Api } from './api.ts'
import type { EventModel } from './models/event-model.ts'
import type { NodeModel } from './models/node-model.ts'
import type { createTheme } from './models/theme.ts'

/** Everything views share. */
export interface App {
  readonly api: Api
  readonly node: NodeModel
  readonly events: EventModel
  readonly theme: ReturnType<typeof createTheme>
  /** Said by the live region and shown for a while. */
  readonly notice: Signal<string>
  /** Moves on every 10 s, for texts such as "5 min ago"; ms since the epoch. */
  readonly now: Signal<number>
}

export const AppContext = createContext<App | null>(null)

/** The app's models; only inside the provider. */
export function useApp(): App {
  const app = useContext(AppContext)
  if (!app) throw new Error('no app context')
  return app
}
