//go:build race

package main

// memoryFactor is how much more memory a program may have because of the race detector.
const memoryFactor = 3
