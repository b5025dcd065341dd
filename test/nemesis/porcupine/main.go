// Judges a history with Porcupine, a checker of linearizability that nobody here wrote.
//
//	go run . HISTORY LOGS      HISTORY: one operation a line (history.ts); LOGS: {"PARTITION": {start, values}}
//
// The model of a partition's log is its end: an append of k records at offset n is legal where the log ends at n, and
// moves it to n + k; a linearizable read is legal where its high watermark is the log's end. Contents are the other
// checker's. An append whose outcome is unknown and whose records are in no log never took effect and is left out; one
// whose records are there may have taken effect at any time after it was sent.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"time"

	"github.com/anishathalye/porcupine"
)

type operation struct {
	Kind        string          `json:"kind"`
	Client      int             `json:"client"`
	Partition   int             `json:"partition"`
	Values      []string        `json:"values"`
	Consistency string          `json:"consistency"`
	Start       int64           `json:"start"`
	End         *int64          `json:"end"`
	Outcome     json.RawMessage `json:"outcome"`
}

type partitionLog struct {
	Start  int      `json:"start"`
	Values []string `json:"values"`
}

type input struct {
	partition int
	// 0: a read.
	count int
}

func main() {
	if len(os.Args) != 3 {
		fail("usage: go run . HISTORY LOGS")
	}
	places := readPlaces(os.Args[2])
	operations := readHistory(os.Args[1], places)
	result := porcupine.CheckOperationsTimeout(model, operations, 5*time.Minute)
	fmt.Printf("porcupine: %d operations, %s\n", len(operations), result)
	if result != porcupine.Ok {
		os.Exit(1)
	}
}

var model = porcupine.Model{
	Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
		byPartition := map[int][]porcupine.Operation{}
		for _, op := range history {
			at := op.Input.(input).partition
			byPartition[at] = append(byPartition[at], op)
		}
		parts := [][]porcupine.Operation{}
		for _, part := range byPartition {
			parts = append(parts, part)
		}
		return parts
	},
	Init: func() interface{} { return 0 },
	Step: func(state, in, out interface{}) (bool, interface{}) {
		end := state.(int)
		return out.(int) == end, end + in.(input).count
	},
	DescribeOperation: func(in, out interface{}) string {
		if in.(input).count == 0 {
			return fmt.Sprintf("read -> %d", out.(int))
		}
		return fmt.Sprintf("append %d at %d", in.(input).count, out.(int))
	},
}

func readPlaces(file string) map[string]int {
	text, err := os.ReadFile(file)
	if err != nil {
		fail(err.Error())
	}
	logs := map[string]partitionLog{}
	if err := json.Unmarshal(text, &logs); err != nil {
		fail(err.Error())
	}
	places := map[string]int{}
	for _, log := range logs {
		for n, value := range log.Values {
			places[value] = log.Start + n
		}
	}
	return places
}

func readHistory(file string, places map[string]int) []porcupine.Operation {
	handle, err := os.Open(file)
	if err != nil {
		fail(err.Error())
	}
	defer handle.Close()
	lines := bufio.NewScanner(handle)
	lines.Buffer(nil, 64*1024*1024)
	operations := []porcupine.Operation{}
	for lines.Scan() {
		var op operation
		if err := json.Unmarshal(lines.Bytes(), &op); err != nil {
			fail(err.Error())
		}
		if judged, ok := toPorcupine(op, places); ok {
			operations = append(operations, judged)
		}
	}
	return operations
}

func toPorcupine(op operation, places map[string]int) (porcupine.Operation, bool) {
	judged := porcupine.Operation{ClientId: op.Client, Call: op.Start, Return: math.MaxInt64}
	if op.Kind == "read" {
		var outcome *struct {
			HighWatermark int `json:"highWatermark"`
		}
		if json.Unmarshal(op.Outcome, &outcome) != nil || outcome == nil || op.Consistency != "linearizable" {
			return judged, false
		}
		judged.Input, judged.Output, judged.Return = input{op.Partition, 0}, outcome.HighWatermark, *op.End
		return judged, true
	}
	judged.Input = input{op.Partition, len(op.Values)}
	var told struct {
		Offset int `json:"offset"`
	}
	if json.Unmarshal(op.Outcome, &told) == nil {
		judged.Output, judged.Return = told.Offset, *op.End
		return judged, true
	}
	// "unknown" or "refused": where it stands, if it stands anywhere.
	offset, written := places[op.Values[0]]
	judged.Output = offset
	return judged, written
}

func fail(text string) {
	fmt.Fprintln(os.Stderr, text)
	os.Exit(2)
}
