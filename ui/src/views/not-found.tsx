/** What stands where no screen is. */
export function NotFound() {
  return (
    <div class="empty">
      <h1>Nothing here</h1>
      <p>
        There is no such screen. <a href="/">Back to the overview</a>
      </p>
    </div>
  )
}
