package main
import (
_ "github.com/twmb/franz-go/pkg/kgo"
_ "github.com/twmb/franz-go/pkg/kmsg"
)
func main(){}
