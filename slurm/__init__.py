"""Studies as job arrays: the cells of one study as the elements of one array on SLURM, or on this machine.

    site       what a job asks the cluster for
    manifest   what was submitted, as a file
    submit     sends an array
    task       runs inside an array element
    scheduler  state of the array elements
    status     state of the cells

The cells are measured by ``benchmarks.run.runner``, here as in an array. docs/cluster.md describes the commands.
"""
