import { constants, openSync } from 'node:fs'
import koffi from 'koffi'

/*
 * TUN devices and `ppoll` by the C library: Node has no way to make the one nor to wait for several descriptors that its event loop
 * does not know. Numbers are those of linux/if_tun.h and poll.h on x86, ARM and RISC-V.
 */

const TUNSETIFF = 0x4004_54ca
const TUNSETOFFLOAD = 0x4004_54d0
const IFF_TUN = 0x0001
const IFF_NO_PI = 0x1000
const IFF_VNET_HDR = 0x4000
/** TUN_F_CSUM, TUN_F_TSO4, TUN_F_TSO6: the kernel hands over up to 64 KiB at once. */
const OFFLOADS = 0x01 | 0x02 | 0x04
const POLLIN = 0x001
const IFREQ_BYTES = 40
const POLLFD_BYTES = 8

const libc = koffi.load('libc.so.6')
const ioctlPointer = libc.func('int ioctl(int fd, unsigned long request, void *argument)') as (
  fd: number,
  request: number,
  argument: Uint8Array,
) => number
const ioctlNumber = libc.func('int ioctl(int fd, unsigned long request, unsigned long argument)') as (
  fd: number,
  request: number,
  argument: number,
) => number
const readBytes = libc.func('int64_t read(int fd, void *buffer, size_t length)') as (
  fd: number,
  buffer: Uint8Array,
  length: number,
) => number
const writeBytes = libc.func('int64_t write(int fd, const void *buffer, size_t length)') as (
  fd: number,
  buffer: Uint8Array,
  length: number,
) => number
const ppoll = libc.func('int ppoll(void *fds, unsigned long count, void *timeout, void *mask)')

/** The largest read: 64 KiB and the offload head. */
export const READ_BYTES_MAX = 65_536 + 64

/**
 * Makes a TUN device in this process's namespace; it lives as long as the descriptor, wherever it is moved to.
 * @param offload false on a lossy internet, where "one packet" must be one packet.
 */
export function openTun(name: string, offload: boolean): number {
  const fd = openSync('/dev/net/tun', constants.O_RDWR | constants.O_NONBLOCK)
  const request = Buffer.alloc(IFREQ_BYTES)
  request.write(name.slice(0, 15), 'latin1')
  request.writeUInt16LE(IFF_TUN | IFF_NO_PI | IFF_VNET_HDR, 16)
  if (ioctlPointer(fd, TUNSETIFF, request) !== 0) throw new Error(`cannot make TUN device ${name}`)
  if (ioctlNumber(fd, TUNSETOFFLOAD, offload ? OFFLOADS : 0) !== 0)
    throw new Error(`cannot set offloading of TUN device ${name}`)
  return fd
}

/** Reads one packet into `buffer`; 0 when there is none. */
export function readPacket(fd: number, buffer: Uint8Array): number {
  return Math.max(0, readBytes(fd, buffer, buffer.length))
}

/** Writes one packet; false when the device is down or takes no more. */
export function writePacket(fd: number, packet: Uint8Array): boolean {
  return writeBytes(fd, packet, packet.length) === packet.length
}

/** Waits until one of some descriptors can be read. */
export class Poller {
  readonly #fds: Buffer
  readonly #count: number
  readonly #timeout = Buffer.alloc(16)

  constructor(fds: readonly number[]) {
    this.#count = fds.length
    this.#fds = Buffer.alloc(fds.length * POLLFD_BYTES)
    for (const [i, fd] of fds.entries()) {
      this.#fds.writeInt32LE(fd, i * POLLFD_BYTES)
      this.#fds.writeInt16LE(POLLIN, i * POLLFD_BYTES + 4)
    }
  }

  /** Indices of the descriptors that can be read, none after `timeoutMs` (fractions count). The event loop goes on meanwhile. */
  async wait(timeoutMs: number): Promise<number[]> {
    const seconds = Math.floor(timeoutMs / 1000)
    this.#timeout.writeBigInt64LE(BigInt(seconds), 0)
    this.#timeout.writeBigInt64LE(BigInt(Math.floor((timeoutMs - seconds * 1000) * 1e6)), 8)
    await new Promise<void>((resolve, reject) => {
      ppoll.async(this.#fds, this.#count, this.#timeout, null, (error: Error | null) => {
        if (error === null) resolve()
        else reject(error)
      })
    })
    const ready: number[] = []
    for (let i = 0; i < this.#count; i++) if (this.#fds.readInt16LE(i * POLLFD_BYTES + 6) !== 0) ready.push(i)
    return ready
  }
}
