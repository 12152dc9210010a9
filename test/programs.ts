export * from '../simulations/lab/programs.ts'
