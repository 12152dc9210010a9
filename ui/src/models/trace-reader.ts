import type { Trace, TraceProblem } from './trace.ts'
import { TraceBuilder } from './trace-builder.ts'
import { LineError, readHeader, TraceError } from './trace-line.ts'
import { LINE_LENGTH_MAX, LINES_MAX, PROBLEMS_MAX } from './trace-limits.ts'

/** Reads a trace piece by piece, as it comes from the disk. A line that is malformed is noted and left out. */
export class TraceReader {
  #builder: TraceBuilder | null = null
  /** What came of the line that is not over yet. */
  #rest = ''
  #isOverlong = false
  #lines = 0
  #isCut = false
  readonly #problems: TraceProblem[] = []
  #problemCount = 0

  /** Takes the next piece; false once nothing more is read. @throws TraceError when the file is no trace. */
  push(text: string): boolean {
    let from = 0
    for (;;) {
      const newline = text.indexOf('\n', from)
      const piece = newline === -1 ? text.slice(from) : text.slice(from, newline)
      // What is too long is thrown away as it comes, however long it is.
      if (!this.#isOverlong && this.#rest.length + piece.length > LINE_LENGTH_MAX) this.#beginOverlong()
      if (!this.#isOverlong) this.#rest += piece
      if (newline === -1) return true
      if (!this.#isOverlong) this.#take(this.#rest)
      this.#isOverlong = false
      this.#rest = ''
      from = newline + 1
      if (this.#lines >= LINES_MAX) {
        this.#isCut = true
        return false
      }
    }
  }

  /** What was read. @throws TraceError when there was nothing. */
  end(): Trace {
    if (this.#rest !== '') this.#take(this.#rest)
    if (this.#builder === null) throw new TraceError('The file is empty.')
    return {
      ...this.#builder.build(),
      lines: this.#lines,
      isCut: this.#isCut,
      problems: this.#problems,
      problemCount: this.#problemCount,
    }
  }

  #take(text: string): void {
    this.#lines++
    if (text.trim() === '') return
    if (this.#builder === null) {
      this.#builder = new TraceBuilder(readHeader(text))
      return
    }
    try {
      this.#builder.add(text)
    } catch (error) {
      if (!(error instanceof LineError)) throw error
      this.#note(error.message)
    }
  }

  #beginOverlong(): void {
    if (this.#builder === null) throw new TraceError('Line 1 is too long: this is no trace of the simulator.')
    this.#isOverlong = true
    this.#rest = ''
    this.#lines++
    this.#note(`it is longer than ${LINE_LENGTH_MAX} characters`)
  }

  #note(text: string): void {
    this.#problemCount++
    if (this.#problems.length < PROBLEMS_MAX) this.#problems.push({ line: this.#lines, text })
  }
}
