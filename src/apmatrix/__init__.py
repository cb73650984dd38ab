"""apmatrix: AP (Adjunct Processor) virtualization for IBM Z, as software."""
