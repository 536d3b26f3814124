package testkit

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/erpconnector/erpconnector/shared/subprocess"
)

// apacheRelease is a release of Apache Kafka in the user's cache, with what makes its starts cheap: without it, each start
// takes 2.7 s of CPU time on a small machine, with it 1.2 s.
type apacheRelease struct {
	jars    string // the folder of its jars
	classes string // its classes as the JVM holds them in memory (class data sharing); "": there is no such file
	fresh   string // the data folder of a broker that has never run; "": there is none yet
}

// releaseOf fetches the release and prepares it, unless that was done before.
func releaseOf(version string) (apacheRelease, error) {
	if !HasApache() {
		return apacheRelease{}, errNoApache
	}
	fetched, err := Cached("kafka-"+version, func(dir string) error { return fetchApache(dir, version) })
	if err != nil {
		return apacheRelease{}, err
	}
	r := apacheRelease{jars: filepath.Join(fetched, "libs")}
	prepared, err := Cached("kafka-"+version+"-prepared", r.prepare)
	if err != nil {
		return apacheRelease{}, err
	}
	r.fresh = filepath.Join(prepared, "fresh")
	if classes := filepath.Join(prepared, classesFile); exists(classes) {
		r.classes = classes
	}
	return r, nil
}

// apachePOM takes the version twice.
const apachePOM = `<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<groupId>test</groupId><artifactId>broker</artifactId><version>1</version><packaging>pom</packaging><dependencies>
<dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>%[1]s</version></dependency>
<dependency><groupId>org.apache.kafka</groupId><artifactId>kafka-tools</artifactId><version>%[1]s</version></dependency>
<dependency><groupId>org.slf4j</groupId><artifactId>slf4j-nop</artifactId><version>1.7.36</version></dependency>
</dependencies></project>`

func fetchApache(dir, version string) error {
	if err := os.WriteFile(filepath.Join(dir, "pom.xml"), fmt.Appendf(nil, apachePOM, version), 0o600); err != nil {
		return err
	}
	cmd := exec.CommandContext(context.Background(), "mvn", "-q", "-B", "dependency:copy-dependencies", "-DoutputDirectory=libs", "-DincludeScope=runtime")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("fetching Apache Kafka %s with mvn: %w: %s", version, err, out)
	}
	return nil
}

const classesFile = "classes.jsa"

// prepare keeps the folder of a fresh broker, then runs that broker once: the JVM writes the classes when it ends.
func (r apacheRelease) prepare(dir string) error {
	temp, err := tempDir("erpconnector-kafka-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(temp) }()
	brokers, err := formatApache(r, temp, 1, apacheExtras{})
	if err != nil {
		return err
	}
	b := brokers[0]
	fresh := filepath.Join(dir, "fresh")
	if err := errors.Join(os.RemoveAll(fresh), os.CopyFS(fresh, os.DirFS(b.data()))); err != nil {
		return err
	}
	classes := filepath.Join(dir, classesFile)
	_ = os.Remove(classes) // of a try that was broken off
	cmd := b.java("-XX:ArchiveClassesAtExit="+classes, "kafka.Kafka", b.properties)
	ended, err := subprocess.Start(cmd, syscall.SIGKILL)
	if err != nil {
		return err
	}
	err = awaitBrokers(b.addrs, 1)
	if err != nil || cmd.Process.Signal(syscall.SIGTERM) != nil { // Windows has no such signal: starts are not cheap there
		_ = cmd.Process.Kill()
	}
	<-ended
	return err
}

// format makes a broker's data folder as Kafka's own tool does it, whose JVM takes most of a second.
func (r apacheRelease) format(data string, node int) error {
	if err := os.CopyFS(data, os.DirFS(r.fresh)); err != nil {
		return err
	}
	id := make([]byte, 16)
	_, _ = rand.Read(id)
	id[0] &= 0x7f // an id does not begin with "-"
	identity := fmt.Sprintf("version=1\ncluster.id=%s\nnode.id=%d\ndirectory.id=%s\n", apacheCluster, node, base64.RawURLEncoding.EncodeToString(id))
	return os.WriteFile(filepath.Join(data, "meta.properties"), []byte(identity), 0o600)
}

// formatByTool is format with what only Kafka's own tool can do.
func (b *Apache) formatByTool(arguments ...string) error {
	out, err := b.java(append([]string{"kafka.tools.StorageTool", "format", "-t", apacheCluster, "-c", b.properties}, arguments...)...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("formatting Apache Kafka's folder: %w: %s", err, strings.TrimSpace(string(out)))
	}
	return nil
}

// java is a program of the release.
func (b *Apache) java(args ...string) *exec.Cmd {
	flags := []string{
		"-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData",
		"-Djava.io.tmpdir=" + filepath.Dir(b.properties), "-cp", filepath.Join(b.release.jars, "*"),
	}
	if b.release.classes != "" {
		flags = append(flags, "-XX:SharedArchiveFile="+b.release.classes)
	}
	return exec.CommandContext(context.Background(), "java", append(flags, args...)...) //nolint:gosec // our own arguments
}

func exists(file string) bool {
	_, err := os.Stat(file)
	return err == nil
}
