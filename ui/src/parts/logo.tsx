/** Four machines and what binds them: a k. Decoration beside the name, so hidden from screen readers. */
export function Logo() {
  return (
    <svg class="logo" viewBox="0 0 32 32" aria-hidden="true">
      <path d="M9.5 9.5v13M12 14.5 20.5 9M12 17.5 20.5 23" />
      <circle cx="9.5" cy="7" r="4" />
      <circle cx="9.5" cy="25" r="4" />
      <circle cx="23.5" cy="7.5" r="4" />
      <circle cx="23.5" cy="24.5" r="4" />
    </svg>
  )
}
