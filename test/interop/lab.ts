export * from '../../simulations/lab/lab-node.ts'
export * from '../../simulations/lab/lab.ts'
export * from '../../simulations/lab/program.ts'
