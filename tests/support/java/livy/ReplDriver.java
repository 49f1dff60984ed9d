package org.apache.livy.repl;

import com.fasterxml.jackson.databind.ObjectMapper;
import io.netty.channel.ChannelHandlerContext;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.io.PrintWriter;
import java.io.OutputStreamWriter;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import org.apache.livy.rsc.BaseProtocol;
import org.apache.livy.rsc.RSCConf;
import org.apache.livy.rsc.ReplJobResults;
import org.apache.livy.rsc.driver.RSCDriver;
import org.apache.livy.rsc.driver.SparkEntries;
import org.apache.livy.rsc.driver.Statement;
import org.apache.livy.rsc.driver.StatementState;
import org.apache.livy.rsc.rpc.Rpc;
import org.apache.spark.SparkConf;
import org.apache.spark.api.python.Py4JServer;

/** Stands in for Livy's REPL, the only part of a session that Maven Central does not have: runs Python statements. */
public final class ReplDriver extends RSCDriver {
  private final ExecutorService turns = Executors.newSingleThreadExecutor();
  private final List<Statement> statements = new CopyOnWriteArrayList<>();
  private Process python;
  private BufferedReader answers;
  private PrintWriter questions;

  /** The server starts the class of this name with these arguments. */
  public ReplDriver(SparkConf conf, RSCConf livyConf) throws Exception {
    super(conf, livyConf);
  }

  @Override
  protected SparkEntries initializeSparkEntries() throws IOException {
    Py4JServer gateway = new Py4JServer(conf);
    gateway.start();
    // The order in which Livy's PythonInterpreter looks.
    String program = conf.get("spark.pyspark.python", System.getenv().getOrDefault("PYSPARK_PYTHON", "python"));
    ProcessBuilder builder = new ProcessBuilder(program, "-c", script());
    builder.environment().putAll(Map.of(
        "PYSPARK_PYTHON", program,
        "PYSPARK_GATEWAY_PORT", String.valueOf(gateway.getListeningPort()),
        "PYSPARK_GATEWAY_SECRET", gateway.secret()));
    python = builder.redirectError(ProcessBuilder.Redirect.INHERIT).start();
    questions = new PrintWriter(new OutputStreamWriter(python.getOutputStream(), StandardCharsets.UTF_8), true);
    answers = new BufferedReader(new InputStreamReader(python.getInputStream(), StandardCharsets.UTF_8));
    answers.readLine(); // it has a Spark session now
    broadcast(new BaseProtocol.ReplState("idle"));
    return new SparkEntries(conf); // which finds the SparkContext that Python made
  }

  @Override
  protected void onClientAuthenticated(Rpc client) {
    client.call(new BaseProtocol.ReplState(python == null ? "starting" : "idle"));
  }

  @Override
  protected void shutdownContext() {
    turns.shutdownNow();
    questions.close();
    super.shutdownContext();
  }

  /** Queues a statement and returns its number. */
  public int handle(ChannelHandlerContext context, BaseProtocol.ReplJobRequest request) {
    Statement statement = new Statement(statements.size(), request.code, StatementState.Running, null);
    statements.add(statement);
    turns.submit(() -> run(statement));
    return statement.id;
  }

  /** Returns statements with what they printed. */
  public ReplJobResults handle(ChannelHandlerContext context, BaseProtocol.GetReplJobResults request) {
    int end = request.allResults ? statements.size() : Math.min(request.from + request.size, statements.size());
    int start = request.allResults ? 0 : request.from;
    return new ReplJobResults(statements.subList(start, end).toArray(new Statement[0]));
  }

  private Void run(Statement statement) throws IOException {
    questions.println(new ObjectMapper().writeValueAsString(statement.code));
    statement.output = answers.readLine();
    statement.compareAndTransit(StatementState.Running, StatementState.Available);
    return null;
  }

  private static String script() throws IOException {
    try (InputStream script = ReplDriver.class.getResourceAsStream("statements.py")) {
      return new String(script.readAllBytes(), StandardCharsets.UTF_8);
    }
  }
}
