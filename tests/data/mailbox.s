# What the bridge puts into a guest's storage (apmatrix.faces.boot.handler). Called by the kernel for each operation
# exception with pt_regs in %r2 and the way back in %r14; the slots lie one page behind.
	.machine z14
start:	stnsm	128(%r15),0xfc		# no interruptions: they could execute AP instructions
	stap	130(%r15)
	llgh	%r1,130(%r15)
	sllg	%r1,%r1,7
	larl	%r3,start+4096
	agr	%r1,%r3			# %r1: this processor's slot
	stg	%r2,8(%r1)
	stctg	%c1,%c13,16(%r1)
	mvhi	0(%r1),1		# asked
again:	bcr	15,%r0
	clfhsi	0(%r1),2
	jl	again			# until answered
	lg	%r3,120(%r1)
	mvhi	0(%r1),0		# idle
	ssm	128(%r15)
	ltgr	%r3,%r3
	bzr	%r14
	br	%r3
