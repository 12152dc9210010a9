/**
 * The head of a table with roles written out: on narrow screens the rows become cards, and display: block would drop them.
 * @param props.last what the last column is for, read aloud only; null: there is none.
 */
export function ColumnHeads({ columns, last }: { columns: readonly string[]; last: string | null }) {
  return (
    <thead role="rowgroup">
      <tr role="row">
        {columns.map((column) => (
          <th key={column} role="columnheader" scope="col">
            {column}
          </th>
        ))}
        {last === null ? null : (
          <th role="columnheader" scope="col">
            <span class="hidden">{last}</span>
          </th>
        )}
      </tr>
    </thead>
  )
}
