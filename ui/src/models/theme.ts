import { signal } from '@preact/signals'

/** What the user chose; `system` follows the operating system. */
export type Theme = 'system' | 'light' | 'dark'
const NEXT: Readonly<Record<Theme, Theme>> = { system: 'light', light: 'dark', dark: 'system' }

/** The theme and where it is kept: `load` and `save` are localStorage and the root element in the page. */
export function createTheme(kept: { load(): string | null; save(theme: Theme): void }) {
  const loaded = kept.load()
  const theme = signal<Theme>(loaded === 'light' || loaded === 'dark' ? loaded : 'system')
  return {
    theme,
    next(): void {
      theme.value = NEXT[theme.value]
      kept.save(theme.value)
    },
  }
}
