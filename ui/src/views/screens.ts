import type { ComponentType } from 'preact'
import { lazy } from 'preact-iso'
import type { IconName } from '../parts/icon.tsx'

/** A screen of a node that is in a mesh. */
export interface Screen {
  readonly path: string
  readonly title: string
  /** In the menu; null: a tool beside the screens, in no menu. */
  readonly icon: IconName | null
  readonly view: ComponentType
}

/** All screens, those of the menu in its order. Each is a chunk of its own. */
export const SCREENS: readonly Screen[] = [
  screen('/', 'Overview', 'home', () => import('./overview.tsx').then((module) => module.Overview)),
  screen('/peers', 'Peers', 'peers', () => import('./peers.tsx').then((module) => module.Peers)),
  screen('/network', 'Network', 'network', () => import('./network.tsx').then((module) => module.Network)),
  screen('/members', 'Members', 'members', () => import('./members.tsx').then((module) => module.Members)),
  screen('/services', 'Services', 'services', () =>
    import('./services.tsx').then((module) => module.Services),
  ),
  screen('/events', 'Events', 'events', () => import('./events.tsx').then((module) => module.Events)),
  screen('/player', 'Player', null, () => import('./player.tsx').then((module) => module.Player)),
]

function screen(
  path: string,
  title: string,
  icon: IconName | null,
  load: () => Promise<ComponentType>,
): Screen {
  return { path, title, icon, view: lazy(load) }
}
