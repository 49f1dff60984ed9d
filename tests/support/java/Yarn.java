import java.io.OutputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.yarn.conf.YarnConfiguration;
import org.apache.hadoop.yarn.server.MiniYARNCluster;
import org.apache.hadoop.yarn.server.nodemanager.containermanager.ContainerManagerImpl;

/** Runs a ResourceManager and a NodeManager, configured by the site files on the class path, until input ends. */
final class Yarn {
  /** Starts them, writes where the ResourceManager is to the file in the first argument, and prints "ready". */
  public static void main(String[] arguments) {
    int code = 0;
    try {
      MiniYARNCluster cluster = new MiniYARNCluster("yarn", 1, 1, 1);
      cluster.init(new YarnConfiguration());
      cluster.start();
      if (!cluster.waitForNodeManagersToConnect(60_000)) {
        throw new IllegalStateException("the NodeManager did not register with the ResourceManager");
      }
      Configuration site = new Configuration(false);
      String prefix = YarnConfiguration.RM_PREFIX;
      cluster.getConfig().getPropsWithPrefix(prefix).forEach((name, value) -> site.set(prefix + name, value));
      try (OutputStream file = Files.newOutputStream(Path.of(arguments[0]))) {
        site.writeXml(file);
      }
      System.out.println("ready");
      System.in.transferTo(OutputStream.nullOutputStream());
      var containers = cluster.getNodeManager(0).getNMContext().getContainerManager();
      ((ContainerManagerImpl) containers).cleanUpApplicationsOnNMShutDown();
    } catch (Throwable failure) {
      failure.printStackTrace();
      code = 1;
    }
    Runtime.getRuntime().halt(code); // closing the cluster waits ten seconds for logs that are to be deleted in hours
  }
}
