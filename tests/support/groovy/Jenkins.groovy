// Runs a declarative Jenkinsfile as a Jenkins agent would: its sh steps in a shell, its checkouts with git.
//
// Arguments: the Jenkinsfile, and a JSON file that says who runs it, where and why. Every section, option, condition
// and step that is not written down here is refused before anything runs, so that a slip in a stage that a build
// skips is found too. Sources: the handbook's chapters on Pipeline syntax and on steps, and the pages of the plugins.

import groovy.json.JsonOutput
import groovy.json.JsonSlurper
import java.nio.file.FileSystems
import java.nio.file.Files
import java.nio.file.Path
import java.util.concurrent.TimeUnit
import javax.xml.parsers.DocumentBuilderFactory
import org.codehaus.groovy.ast.ClassNode
import org.codehaus.groovy.ast.CodeVisitorSupport
import org.codehaus.groovy.ast.expr.ClosureExpression
import org.codehaus.groovy.ast.expr.Expression
import org.codehaus.groovy.ast.expr.MapExpression
import org.codehaus.groovy.ast.expr.MethodCallExpression
import org.codehaus.groovy.ast.expr.TupleExpression
import org.codehaus.groovy.ast.stmt.ExpressionStatement
import org.codehaus.groovy.classgen.GeneratorContext
import org.codehaus.groovy.control.CompilePhase
import org.codehaus.groovy.control.CompilerConfiguration
import org.codehaus.groovy.control.SourceUnit
import org.codehaus.groovy.control.customizers.CompilationCustomizer

class Refused extends RuntimeException {
    Refused(String message) { super(message) }
}

class Failed extends RuntimeException {
    Failed(String message) { super(message) }
}

/** What may stand where: a section's parts, and a call's named arguments. */
class Grammar {
    static final Map<String, Set<String>> PARTS = [
        pipeline: ['agent', 'options', 'parameters', 'triggers', 'stages', 'post'],
        options: ['skipDefaultCheckout', 'disableConcurrentBuilds', 'buildDiscarder', 'timeout', 'timestamps'],
        parameters: ['string', 'text', 'booleanParam'],
        triggers: ['cron'],
        stages: ['stage'],
        stage: ['options', 'when', 'steps'],
        when: ['branch', 'buildingTag', 'changeRequest', 'triggeredBy', 'expression', 'not', 'allOf', 'anyOf'],
        post: ['always', 'success', 'failure', 'cleanup'],
    ].collectEntries { name, parts -> [name, parts as Set] }

    static final Map<String, Set<String>> STEPS = [
        sh: ['script', 'label', 'returnStdout', 'returnStatus'],
        echo: ['message'],
        error: ['message'],
        dir: ['path'],
        deleteDir: [],
        fileExists: ['file'],
        withEnv: ['overrides'],
        withCredentials: ['bindings'],
        checkout: ['scm'],
        junit: ['testResults', 'allowEmptyResults'],
        archiveArtifacts: ['artifacts', 'allowEmptyArchive', 'fingerprint'],
        script: [],
        node: ['label'],
        parallel: [],
        stash: ['name', 'includes', 'allowEmpty'],
        unstash: ['name'],
    ].collectEntries { name, named -> [name, named as Set] }

    static final Map<String, Set<String>> VALUES = [
        string: ['name', 'defaultValue', 'description', 'trim'],
        text: ['name', 'defaultValue', 'description', 'trim'],
        booleanParam: ['name', 'defaultValue', 'description'],
        disableConcurrentBuilds: ['abortPrevious'],
        logRotator: ['numToKeepStr', 'artifactNumToKeepStr', 'daysToKeepStr', 'artifactDaysToKeepStr'],
        timeout: ['time', 'unit'],
        scmGit: ['branches', 'userRemoteConfigs', 'extensions'],
        usernamePassword: ['credentialsId', 'usernameVariable', 'passwordVariable'],
    ].collectEntries { name, named -> [name, named as Set] }

    static final Set<String> CONDITIONS_OF_CONDITIONS = ['not', 'allOf', 'anyOf']
}

/** Refuses a file that Jenkins would refuse, or whose words are not known here. */
class Check extends CompilationCustomizer {
    private Set<String> methods

    Check() { super(CompilePhase.CONVERSION) }

    @Override
    void call(SourceUnit source, GeneratorContext context, ClassNode node) {
        methods = source.AST.methods*.name as Set
        source.AST.methods.each { method -> checkFree(method.code) }
        def calls = source.AST.statementBlock.statements.collect { statement -> callOf(statement, 'the file') }
        if (calls*.methodAsString != ['pipeline']) {
            throw new Refused('beside methods the file must hold one pipeline { } and nothing else')
        }
        checkSection('pipeline', calls[0])
    }

    private void checkSection(String section, MethodCallExpression call) {
        Set<String> seen = []
        closureOf(call).code.statements.each { statement ->
            def part = callOf(statement, section)
            String name = part.methodAsString
            if (!(name in Grammar.PARTS[section])) {
                throw new Refused("line ${part.lineNumber}: $section has no part '$name'")
            }
            if (!seen.add(name) && !(section in ['parameters', 'stages'])) {
                throw new Refused("line ${part.lineNumber}: $section has '$name' twice")
            }
            checkNamed(part)
            checkPart(name, part)
        }
        Set<String> required = [pipeline: ['agent', 'stages'], stage: ['steps']][section] ?: []
        if (!seen.containsAll(required)) {
            throw new Refused("line ${call.lineNumber}: $section lacks ${(required - seen).join(', ')}")
        }
    }

    private void checkPart(String name, MethodCallExpression part) {
        if (name in Grammar.CONDITIONS_OF_CONDITIONS) {
            checkConditions(part)
        } else if (name == 'steps' || name in Grammar.PARTS.post) {
            checkSteps(closureOf(part))
        } else if (name == 'expression') {
            checkFree(closureOf(part).code)
        } else if (Grammar.PARTS.containsKey(name)) {
            checkSection(name, part)
        }
    }

    private void checkConditions(MethodCallExpression call) {
        closureOf(call).code.statements.each { statement ->
            def part = callOf(statement, call.methodAsString)
            if (!(part.methodAsString in Grammar.PARTS.when)) {
                throw new Refused("line ${part.lineNumber}: there is no condition '${part.methodAsString}'")
            }
            checkPart(part.methodAsString, part)
        }
    }

    /** Steps stand alone: variables, conditions and loops belong into script { }. */
    private void checkSteps(ClosureExpression closure) {
        closure.code.statements.each { statement ->
            def step = callOf(statement, 'steps')
            checkCall(step)
            def body = step.arguments instanceof TupleExpression ? step.arguments.expressions.find {
                it instanceof ClosureExpression
            } : null
            if (step.methodAsString == 'script') {
                checkFree(body.code)
            } else if (body) {
                checkSteps(body)
            }
        }
    }

    private void checkFree(code) {
        def check = this
        code.visit(new CodeVisitorSupport() {
            @Override
            void visitMethodCallExpression(MethodCallExpression call) {
                check.checkCall(call)
                super.visitMethodCallExpression(call)
            }
        })
    }

    void checkCall(MethodCallExpression call) {
        String name = call.methodAsString
        // `block()` calls a closure that a method was given.
        if (call.implicitThis && !(name in methods) && name != 'block') {
            if (!Grammar.STEPS.containsKey(name) && !Grammar.VALUES.containsKey(name)) {
                throw new Refused("line ${call.lineNumber}: there is no step '$name'")
            }
            checkNamed(call)
        }
    }

    private static void checkNamed(MethodCallExpression call) {
        Set<String> allowed = Grammar.STEPS[call.methodAsString] ?: Grammar.VALUES[call.methodAsString] ?: []
        call.arguments.expressions.findAll { it instanceof MapExpression }.each { named ->
            named.mapEntryExpressions.each { entry ->
                if (!(entry.keyExpression.text in allowed)) {
                    throw new Refused("line ${call.lineNumber}: ${call.methodAsString} takes no '${entry.keyExpression.text}'")
                }
            }
        }
    }

    private static MethodCallExpression callOf(statement, String section) {
        Expression expression = statement instanceof ExpressionStatement ? statement.expression : null
        if (!(expression instanceof MethodCallExpression) || !expression.implicitThis) {
            throw new Refused("line ${statement.lineNumber}: only calls can stand in $section")
        }
        return expression
    }

    private static ClosureExpression closureOf(MethodCallExpression call) {
        def closure = call.arguments.expressions.find { it instanceof ClosureExpression }
        if (!closure) {
            throw new Refused("line ${call.lineNumber}: ${call.methodAsString} needs a block")
        }
        return closure
    }
}

/** One build: what it knows, what it has come to. */
class Build {
    Map job
    Script pipelineScript
    Map<String, Object> params = [:]
    Map<String, String> global = [:]
    List<Closure> overlays = []
    List<String> secrets = []
    List<Long> deadlines = []
    Path cwd
    long started = System.currentTimeMillis()
    Map record = [result: 'SUCCESS', description: null, stages: [], options: [:], triggers: [], parameters: [],
        artifacts: [], tests: null, leaked: false, failure: null]
    Map<String, String> commits = [:]
    List history

    Build(Map job) {
        this.job = job
        cwd = workspace
        def file = new File(job.home, 'builds.json')
        history = file.exists() ? new JsonSlurper().parse(file) : []
        Files.createDirectories(workspace)
    }

    /** That of the agent whose turn it is; 1 is the build's own. */
    int agent = 1
    int agents = 1

    String getWorkspaceName() { agent == 1 ? job.workspace : "${job.workspace}-agent-${agent}" }

    Path getWorkspace() { Path.of(workspaceName) }

    int getNumber() { history.size() + 1 }

    /** The variables of a step, in the order in which Jenkins lays them over each other. */
    Map<String, String> environment() {
        Map<String, String> found = new LinkedHashMap(job.agent)
        found += [WORKSPACE: workspaceName, WORKSPACE_TMP: "${workspaceName}@tmp".toString(), CI: 'true',
            JENKINS_URL: 'http://jenkins.example/', BUILD_NUMBER: "$number".toString(), JOB_NAME: job.name,
            BUILD_TAG: "jenkins-${job.name}-$number".toString()]
        found += job.variables
        // A pipeline's own parameters are no variables before its first build has made them known.
        if (history) {
            found += params.collectEntries { name, value -> [name, "$value".toString()] }
        }
        found += global
        overlays.each { overlay -> overlay(found) }
        return found
    }

    def within(Closure overlay, Closure body) {
        overlays << overlay
        try {
            return body()
        } finally {
            overlays.remove(overlays.size() - 1)
        }
    }

    def at(Path path, Closure body) {
        Path before = cwd
        cwd = path
        try {
            return body()
        } finally {
            cwd = before
        }
    }

    /** Another agent, with a workspace of its own in which nothing is. */
    def onAnotherAgent(Closure body) {
        int before = agent
        agent = ++agents
        workspace.toFile().deleteDir()
        Files.createDirectories(workspace)
        try {
            return at(workspace, body)
        } finally {
            agent = before
        }
    }

    def withDeadline(Map time, Closure body) {
        deadlines << System.currentTimeMillis() + TimeUnit.valueOf(time.unit ?: 'MINUTES').toMillis(time.time)
        try {
            return body()
        } finally {
            deadlines.remove(deadlines.size() - 1)
        }
    }

    void worsen(String result) {
        def order = ['SUCCESS', 'UNSTABLE', 'FAILURE', 'NOT_BUILT']
        if (order.indexOf(result) > order.indexOf(record.result)) {
            record.result = result
        }
    }

    void log(String text) {
        record.leaked |= secrets.any { secret -> text.contains(secret) }
        secrets.each { secret -> text = text.replace(secret, '****') }
        System.err.print(text)
    }

    /** Run a command here; return its exit code and, where asked for, what it wrote. */
    List run(List<String> command, boolean returnStdout) {
        Files.createDirectories(cwd)
        def builder = new ProcessBuilder(command).directory(cwd.toFile())
        builder.environment().clear()
        builder.environment().putAll(environment())
        builder.redirectErrorStream(!returnStdout)
        def process = builder.start()
        process.outputStream.close()
        def out = new StringBuilder()
        def reading = [Thread.start { process.inputStream.eachLine { line -> returnStdout ? out << "$line\n" : log("$line\n") } }]
        reading << Thread.start { process.errorStream.eachLine { line -> log("$line\n") } }
        def left = (deadlines.min() ?: Long.MAX_VALUE) - System.currentTimeMillis()
        if (!process.waitFor(left, TimeUnit.MILLISECONDS)) {
            process.descendants().each { it.destroy() }
            process.destroy()
            throw new Failed("${command[0]} took too long")
        }
        reading*.join()
        return [process.exitValue(), out.toString()]
    }

    String git(String... arguments) {
        def (code, out) = run(['git', *arguments], true)
        if (code) {
            throw new Failed("git ${arguments.join(' ')} failed with $code")
        }
        return out.trim()
    }

    void save() {
        history << [number: number, result: record.result, commits: commits]
        new File(job.home, 'builds.json').text = JsonOutput.toJson(history)
    }
}

/** The steps, as methods. */
class Steps {
    Build build

    def sh(Map given) {
        def script = Files.createTempFile('script', '.sh')
        script.toFile().text = given.script
        try {
            build.log("+ ${given.label ?: 'sh'}\n")
            def (code, out) = build.run(['/bin/sh', '-xe', script.toString()], given.returnStdout ?: false)
            if (given.returnStatus) {
                return code
            }
            if (code) {
                throw new Failed("script returned exit code $code")
            }
            return given.returnStdout ? out : null
        } finally {
            Files.delete(script)
        }
    }

    def sh(CharSequence script) { sh(script: script.toString()) }

    void echo(message) { build.log("$message\n") }

    void error(message) { throw new Failed("$message") }

    def script(Closure body) { inSteps(body)() }

    def dir(CharSequence path, Closure body) { build.at(build.cwd.resolve(path.toString()).normalize(), inSteps(body)) }

    void deleteDir() { build.cwd.toFile().deleteDir() }

    boolean fileExists(CharSequence file) { Files.exists(build.cwd.resolve(file.toString())) }

    /** Values may name variables: `EnvStep` lays them over with overrideExpandingAll. */
    def withEnv(List overrides, Closure body) {
        build.within({ Map<String, String> found ->
            overrides.each { override ->
                def (name, value) = override.toString().split('=', 2)
                found[name] = value.replaceAll(/\$(\w+)|\$\{(\w+)\}/) { all, plain, braced -> found[plain ?: braced] ?: all }
            }
        }, inSteps(body))
    }

    def node(Closure body) { build.onAnotherAgent(inSteps(body)) }

    /** One after the other: what they have in common is the store alone. */
    def parallel(Map<String, Closure> branches) {
        branches.each { name, body ->
            build.log("== $name\n")
            inSteps(body)()
        }
    }

    void stash(Map given) {
        def files = matching(given.includes)
        if (!files && !given.allowEmpty) {
            throw new Failed('No files included in stash')
        }
        def place = Path.of(build.job.home, "${build.number}", 'stashes', given.name.toString())
        files.each { file -> copy(file, place.resolve(build.cwd.relativize(file).toString())) }
    }

    void unstash(CharSequence name) {
        def place = Path.of(build.job.home, "${build.number}", 'stashes', name.toString())
        if (!Files.isDirectory(place)) {
            throw new Failed("No such saved stash '$name'")
        }
        Files.walk(place).withCloseable { paths ->
            paths.filter { Files.isRegularFile(it) }.toList().each { file ->
                copy(file, build.cwd.resolve(place.relativize(file).toString()))
            }
        }
    }

    private static void copy(Path from, Path to) {
        Files.createDirectories(to.parent)
        Files.copy(from, to, java.nio.file.StandardCopyOption.REPLACE_EXISTING)
    }

    def withCredentials(List<Map> bindings, Closure body) {
        Map<String, String> bound = [:]
        bindings.each { binding ->
            def known = build.job.credentials[binding.credentialsId]
            if (!known) {
                throw new Failed("Could not find credentials entry with ID '${binding.credentialsId}'")
            }
            bound[binding.usernameVariable] = known.username
            bound[binding.passwordVariable] = known.password
            build.secrets << known.password
        }
        build.within({ Map<String, String> found -> found.putAll(bound) }, inSteps(body))
    }

    Map usernamePassword(Map binding) { binding }

    Map scmGit(Map given) {
        def (remote) = given.userRemoteConfigs
        return [url: remote.url, refspecs: ['+refs/heads/*:refs/remotes/origin/*'], ref: given.branches[0].name]
    }

    Map checkout(Map from) {
        build.git('init', '--quiet')
        build.git('config', 'remote.origin.url', from.url)
        build.git('fetch', '--quiet', '--tags', '--force', from.url, *from.refspecs)
        def commit = ["refs/remotes/origin/${from.ref}", from.ref].findResult { name ->
            def (code, out) = build.run(['git', 'rev-parse', '--verify', '--quiet', "$name^{commit}".toString()], true)
            code ? null : out.trim()
        }
        if (!commit) {
            throw new Failed("Couldn't find any revision to build: ${from.ref}")
        }
        build.git('checkout', '--quiet', '--force', commit)
        build.commits[from.url] = commit
        def earlier = build.history.findAll { it.commits[from.url] }
        def successful = earlier.findAll { it.result == 'SUCCESS' }
        return [GIT_COMMIT: commit, GIT_URL: from.url, GIT_BRANCH: from.ref,
            GIT_PREVIOUS_COMMIT: earlier ? earlier[-1].commits[from.url] : null,
            GIT_PREVIOUS_SUCCESSFUL_COMMIT: successful ? successful[-1].commits[from.url] : null]
    }

    void junit(Map given) {
        def files = matching(given.testResults)
        if (!files) {
            if (!given.allowEmptyResults) {
                throw new Failed('No test report files were found. Configuration error?')
            }
            return
        }
        // File systems keep whole seconds, some of them.
        if (files.every { Files.getLastModifiedTime(it).toMillis() < build.started - 1000 }) {
            throw new Failed('Test reports were found but none of them are new. Did leafNodes run?')
        }
        Map counts = [total: 0, failed: 0, skipped: 0]
        files.each { file ->
            def root = DocumentBuilderFactory.newInstance().newDocumentBuilder().parse(file.toFile()).documentElement
            counts.total += root.getElementsByTagName('testcase').length
            counts.failed += ['failure', 'error'].sum { name -> root.getElementsByTagName(name).length }
            counts.skipped += root.getElementsByTagName('skipped').length
        }
        build.record.tests = counts
        if (counts.failed) {
            build.worsen('UNSTABLE')
        }
    }

    void archiveArtifacts(Map given) {
        def files = matching(given.artifacts)
        if (!files && !given.allowEmptyArchive) {
            throw new Failed("No artifacts found that match the file pattern \"${given.artifacts}\".")
        }
        def archive = Path.of(build.job.home, "${build.number}", 'archive')
        files.each { file ->
            def name = build.workspace.relativize(file)
            def copy = archive.resolve(name)
            Files.createDirectories(copy.parent)
            Files.copy(file, copy)
            build.record.artifacts << name.toString()
        }
    }

    private List<Path> matching(String pattern) {
        def matcher = FileSystems.default.getPathMatcher("glob:$pattern")
        return Files.walk(build.cwd).withCloseable { paths ->
            paths.filter { Files.isRegularFile(it) && matcher.matches(build.cwd.relativize(it)) }.sorted().toList()
        }
    }

    private Closure inSteps(Closure body) { Runner.inScript(body, build.pipelineScript) }
}

/** `env`: reads what a step would see, writes what all later steps see. */
class Env {
    Build build

    def propertyMissing(String name) { build.environment()[name] }

    void propertyMissing(String name, value) { build.global[name] = "$value".toString() }
}

class CurrentBuild {
    Build build

    void setDescription(value) { build.record.description = value }

    void setResult(String result) { build.worsen(result) }
}

/** Collects a section's parts: each call is kept with what it was given. */
class Parts {
    List<List> calls = []

    def methodMissing(String name, arguments) { calls << [name, *arguments] }

    def propertyMissing(String name) { name }

    static List<List> of(Closure section) {
        def parts = new Parts()
        Runner.tellAll(section, parts)
        return parts.calls
    }

    static Map<String, List> map(Closure section) { of(section).collectEntries { [it[0], it.drop(1)] } }
}

/** Evaluates the conditions of a `when`. */
class Conditions {
    Build build

    boolean all(Closure section) { Parts.of(section).every { holds(*it) } }

    boolean holds(String name, Object... given) {
        def variables = build.environment()
        switch (name) {
            case 'branch': return variables.BRANCH_NAME == given[0]
            case 'buildingTag': return variables.TAG_NAME != null
            case 'changeRequest': return variables.CHANGE_ID != null
            case 'triggeredBy': return build.job.cause == given[0]
            case 'expression': return Runner.inScript(given[0], build.pipelineScript)()
            case 'not': return !all(given[0])
            case 'allOf': return all(given[0])
            case 'anyOf': return Parts.of(given[0]).any { holds(*it) }
        }
        throw new Refused("there is no condition '$name'")
    }
}

/** Runs the pipeline. */
class Runner {
    Build build

    /** A block as the script sees it: its own methods first, then the steps. */
    static Closure inScript(Closure body, Script script) { body.rehydrate(script, script, script) }

    /** Run a block whose calls all go to one listener. */
    static void tellAll(Closure section, listener) {
        Closure heard = section.rehydrate(listener, section.owner, section.thisObject)
        heard.resolveStrategy = Closure.DELEGATE_ONLY
        heard.call()
    }

    void run(Closure pipeline) {
        def parts = Parts.map(pipeline)
        if (parts.parameters) {
            declareParameters(parts.parameters[0])
        }
        def options = parts.options ? evaluated(parts.options[0]) : [:]
        build.record.options = options
        build.record.triggers = parts.triggers ? evaluated(parts.triggers[0]).collect { name, given -> "$name ${given[0]}".toString() } : []
        if (!options.containsKey('skipDefaultCheckout')) {
            throw new Refused('the default checkout is not known here')
        }
        build.withDeadline(options.timeout ? options.timeout[0] : [time: 1, unit: 'DAYS']) {
            Parts.of(parts.stages[0]).each { call, name, body -> stage(name, body) }
        }
        if (parts.post) {
            post(Parts.map(parts.post[0]))
        }
    }

    private void declareParameters(Closure section) {
        Parts.of(section).each { kind, given ->
            build.record.parameters << given.name
            build.params[given.name] = given.defaultValue
        }
        def unknown = build.job.parameters.keySet() - build.params.keySet()
        if (unknown) {
            throw new Refused("there is no parameter ${unknown.join(', ')}")
        }
        build.params.putAll(build.job.parameters)
    }

    /** Options and triggers are values that may ask for the global variables, or hold others such as logRotator(...). */
    private Map<String, List> evaluated(Closure section) {
        def values = new OptionValues(env: new Env(build: build), params: build.params)
        tellAll(section, values)
        return values.found
    }

    private void stage(String name, Closure body) {
        def entry = [name: name, status: 'skipped']
        build.record.stages << entry
        if (build.record.failure) {
            return
        }
        def parts = Parts.map(body)
        if (parts.when && !new Conditions(build: build).all(parts.when[0])) {
            return
        }
        def options = parts.options ? evaluated(parts.options[0]) : [:]
        build.log("== $name\n")
        entry.status = 'ran'
        attempt(entry) {
            build.withDeadline(options.timeout ? options.timeout[0] : [time: 1, unit: 'DAYS'], inScript(parts.steps[0], build.pipelineScript))
        }
    }

    private void post(Map<String, List> conditions) {
        boolean failed = build.record.failure
        def entry = [name: 'post', status: 'ran']
        ['always', failed ? 'failure' : 'success', 'cleanup'].each { condition ->
            if (conditions[condition]) {
                attempt(entry, inScript(conditions[condition][0], build.pipelineScript))
            }
        }
        build.record.post = entry.status
    }

    private void attempt(Map entry, Closure body) {
        try {
            body()
        } catch (Failed failure) {
            build.log("ERROR: ${failure.message}\n")
            entry.status = 'failed'
            build.record.failure = build.record.failure ?: failure.message
            build.worsen('FAILURE')
        }
    }
}

class OptionValues {
    Env env
    Map<String, Object> params
    Map<String, List> found = [:]

    def logRotator(Map given) { given }

    def methodMissing(String name, arguments) { found[name] = arguments as List }
}

/** The script's own class: what it does not define itself is a step. */
abstract class PipelineScript extends Script {
    def methodMissing(String name, arguments) {
        if (name == 'pipeline') {
            return new Runner(build: binding.build).run(arguments[0])
        }
        return binding.steps.invokeMethod(name, arguments)
    }
}

def (jenkinsfile, jobFile) = args
def build = new Build(new JsonSlurper().parse(new File(jobFile)))
def configuration = new CompilerConfiguration(scriptBaseClass: PipelineScript.name)
configuration.addCompilationCustomizers(new Check())
def steps = new Steps(build: build)
def binding = new Binding(build: build, steps: steps, params: build.params, env: new Env(build: build),
    currentBuild: new CurrentBuild(build: build), scm: build.job.scm)
try {
    build.pipelineScript = new GroovyShell(this.class.classLoader, binding, configuration).parse(new File(jenkinsfile))
    build.pipelineScript.run()
} catch (Refused | MissingMethodException | MissingPropertyException | org.codehaus.groovy.control.MultipleCompilationErrorsException refused) {
    System.err.println("refused: ${refused.message.readLines().take(2).join(' ')}")
    System.exit(2)
}
build.save()
println(JsonOutput.toJson(build.record))
