import java.io.IOException;
import java.io.OutputStream;
import java.net.URI;
import java.net.URISyntaxException;
import java.nio.file.Files;
import java.nio.file.attribute.PosixFilePermissions;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.fs.DelegateToFileSystem;
import org.apache.hadoop.fs.Path;
import org.apache.hadoop.fs.RawLocalFileSystem;
import org.apache.hadoop.fs.permission.FsPermission;
import org.apache.hadoop.yarn.conf.YarnConfiguration;
import org.apache.hadoop.yarn.server.MiniYARNCluster;

/** Runs a ResourceManager and a NodeManager, configured by the site files on the class path, until input ends. */
final class Yarn {
  /** Starts them, writes their whole configuration to the directory of the first argument, and prints "ready". */
  public static void main(String[] arguments) {
    int code = 0;
    Configuration configuration = new YarnConfiguration();
    configuration.setClass("fs.AbstractFileSystem.file.impl", LocalFiles.class, DelegateToFileSystem.class);
    try (MiniYARNCluster cluster = new MiniYARNCluster("yarn", 1, 1, 1)) {
      cluster.init(configuration);
      cluster.start();
      if (!cluster.waitForNodeManagersToConnect(60_000)) {
        throw new IllegalStateException("the NodeManager did not register with the ResourceManager");
      }
      Configuration ofClients = new Configuration(cluster.getConfig());
      ofClients.unset("fs.AbstractFileSystem.file.impl");
      try (OutputStream file = Files.newOutputStream(java.nio.file.Path.of(arguments[0], "yarn-site.xml"))) {
        ofClients.writeXml(file);
      }
      System.out.println("ready");
      System.in.transferTo(OutputStream.nullOutputStream());
    } catch (Throwable failure) {
      failure.printStackTrace();
      code = 1;
    }
    System.exit(code); // the cluster leaves threads behind
  }

  /** Sets permissions as Hadoop's native library does; without that library Hadoop starts chmod for every file. */
  static final class LocalFiles extends DelegateToFileSystem {
    LocalFiles(URI uri, Configuration configuration) throws IOException, URISyntaxException {
      super(uri, new Files_(), configuration, "file", false);
    }
  }

  static final class Files_ extends RawLocalFileSystem {
    @Override
    public void setPermission(Path path, FsPermission permission) throws IOException {
      Files.setPosixFilePermissions(
          pathToFile(path).toPath(), PosixFilePermissions.fromString(permission.toString()));
    }
  }
}
