# A stand-alone program (tests/support/standalone.py), loaded at 0x10000. It stops its processor if all is as it should
# be; else it ends in a disabled wait whose address is the number of the step.
	.machine z14
start:	larl	%r1, new
	mvc	0x1d0(16,%r0), 0(%r1)
	lghi	%r7, 1		# QEMU and the machine have their facilities
	larl	%r4, list
	lghi	%r0, 1
	stfle	0(%r4)
	tm	1(%r4), 0x08
	jno	wrong
	lghi	%r7, 2		# TAPQ of 05.0004 succeeds
	lghi	%r0, 0x0504
	.long	0xb2af0000
	ipm	%r2
	srl	%r2, 28
	ltr	%r2, %r2
	jne	wrong
	lghi	%r7, 3		# the queue is empty
	srl	%r1, 24
	chi	%r1, 0x80
	jne	wrong
	lghi	%r7, 4		# NQAP with odd registers: specification exception
	lhi	%r3, 0
	.long	0xb2ad0013
	chi	%r3, 6
	jne	wrong
	lghi	%r7, 5		# another operation exception is the program's own
	lhi	%r3, 0
	.long	0
	chi	%r3, 1
	jne	wrong
	stap	0x200(%r0)
	lh	%r2, 0x200(%r0)
stop:	sigp	%r0, %r2, 5
	j	stop
wrong:	larl	%r1, wait
	stg	%r7, 8(%r1)
	lpswe	0(%r1)
handle:	lh	%r3, 0x8e(%r0)
	lpswe	0x150(%r0)
	.balign	16
new:	.quad	0x0000000180000000, 0x10000 + handle - start
wait:	.quad	0x0002000180000000, 0
list:	.quad	0, 0
