import test from 'ava'
import { PunchLab, standingOf, type MatrixKind } from '../../simulations/lab/punch-lab.ts'
import { medianOf, printMatrix, runPunchMatrix, timesOf } from '../../simulations/lab/punch-matrix.ts'
import type { NAT_KINDS } from '../../simulations/lab/nat-kinds.ts'
import { Lab, reasonToSkip } from './lab.ts'

/*
 * The node's own punch sockets, reflectors and measuring of NATs against the kernel's NATs. The whole matrix of 81 ordered pairs
 * is `npm run lab -- --matrix`.
 */

const skip = reasonToSkip(['nft', 'conntrack'])
if (skip !== undefined) process.stderr.write(`punch matrix: skipped, ${skip}\n`)
const story = skip === undefined ? test.serial : test.serial.skip

/** One of each reason the matrix knows, and each kind that the kernel does otherwise than the books. */
const PAIRS = [
  ['full-cone', 'symmetric'],
  ['symmetric', 'address-restricted'],
  ['port-restricted', 'port-restricted'],
  ['port-restricted-other-port', 'cgnat'],
  ['linux-open', 'linux-open'],
  ['cgnat', 'full-cone'],
  ['open', 'linux-open'],
  ['port-restricted', 'symmetric'],
] as const satisfies readonly (readonly [MatrixKind, MatrixKind])[]

story(
  'pairs meet through real NATs where physics allows, and end on the relay with the reason elsewhere',
  async (t) => {
    const lab = new Lab()
    try {
      const rows = await runPunchMatrix(lab, {
        pairs: PAIRS,
        tries: 3,
        unknownTries: 1,
        seed: 'test',
        parallel: 3,
      })
      t.log(`\n${printMatrix(rows)}`)
      for (const { initiator, responder, isKnown, wrong } of rows)
        t.deepEqual(wrong, [], `${initiator} → ${responder}, standings ${isKnown ? 'told' : 'not told'}`)
      const impossible = rows.filter(({ expected }) => expected.path === 'relay')
      t.deepEqual(impossible.find(({ isKnown }) => isKnown)?.reasons, { 'port-unknown': 6 })
      const { direct, p50Rtts } = timesOf(rows)
      t.is(direct, 3 * (PAIRS.length - 1))
      t.true((p50Rtts ?? 99) <= 5, `${p50Rtts} RTT on a machine that does other things too`)
    } finally {
      await lab.close()
    }
  },
)

const CHECKED = [
  'open',
  'full-cone',
  'address-restricted',
  'port-restricted',
  'port-restricted-other-port',
  'symmetric',
  'symmetric-sequential',
  'address-dependent',
  'hairpin',
  'linux-open',
  'firewall',
  'udp-blocked',
  'cgnat',
] as const satisfies readonly (MatrixKind | keyof typeof NAT_KINDS)[]

story('a node finds out which NAT it stands behind, as the lab’s own tester does', async (t) => {
  const lab = new Lab()
  try {
    const punches = await PunchLab.start(
      lab,
      'netcheck',
      CHECKED.map((kind) => ({ name: kind, kind })),
    )
    const checks = await Promise.all(CHECKED.map((kind) => punches.netcheck(kind)))
    const took: number[] = []
    for (const [index, kind] of CHECKED.entries()) {
      const check = checks[index]
      if (check === undefined) throw new Error(`nothing found out about ${kind}`)
      const { classified, silent, views, tookMs } = check
      t.is(views, 4, `${kind}: ${JSON.stringify(silent)}`)
      t.deepEqual(classified.standing, standingOf(kind), kind)
      took.push(tookMs)
    }
    t.log(`p50 ${medianOf(took)?.toFixed(0)} ms, longest ${Math.max(...took).toFixed(0)} ms`)
    t.true(Math.max(...took) < 10_000)
    // Both offer at the same time: still one connection, and the lower name leads.
    for (const [one, other] of [
      ['port-restricted', 'full-cone'],
      ['linux-open', 'cgnat'],
    ] as const) {
      const reports = await punches.punch(one, other, { isGlare: true })
      t.deepEqual(
        reports.map(({ path, role, isEchoed }) => [path, role, isEchoed]),
        [
          ['direct', one < other ? 'initiator' : 'responder', true],
          ['direct', one < other ? 'responder' : 'initiator', true],
        ],
      )
    }
    // Nothing is left of one that is given up while both dial.
    const given = await punches.punch('symmetric', 'port-restricted', {
      isKnown: false,
      cancelAfterMs: 1_500,
    })
    t.deepEqual(
      given.map(({ reason, leaked }) => [reason, leaked]),
      [
        ['punch-cancelled', 0],
        ['peer-refused', 0],
      ],
    )
    await punches.close()
  } finally {
    await lab.close()
  }
})
