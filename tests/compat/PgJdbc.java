public class PgJdbc { public static void main(String[] a) {} }
