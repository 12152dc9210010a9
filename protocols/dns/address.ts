/** Whether the text is a dotted IPv4 address; IPv6 texts have colons. */
export function isAddressV4(text: string): boolean {
  return /^\d{1,3}(\.\d{1,3}){3}$/.test(text)
}
